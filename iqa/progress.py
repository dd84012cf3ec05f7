"""How far long work is: a bar on a terminal, elsewhere a line each half minute."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from tqdm import tqdm

from iqa.files import in_bytes

#: Seconds between two lines; work that is done sooner writes none.
EVERY = 30.0
#: Seconds between two looks at whether a line is due although nothing was done.
LOOK = 0.5
#: This environment variable set to "json" makes lines that programs read.
LOG = "IQA_LOG"


def progress_bar(
    over: Iterable[Any] | None = None,
    *,
    total: int | None,
    desc: str,
    unit: str,
    shown: bool | None = None,
    initial: int = 0,
    leave: bool = True,
    bar_format: str | None = None,
) -> tqdm[Any]:
    """A bar of tqdm's, or what takes its place.

    Args:
        over: what is gone through, if it is to count by itself.
        total, initial: how many there are, None where nobody knows; how many were done before.
        desc, unit: what is done, and to what: the word for several.
        shown: True, a bar in any case; None, a bar on a terminal, else lines on stderr; False, nothing.
        leave: keep the full bar on the terminal.
        bar_format: how it looks on the terminal, as tqdm takes it.
    """
    about: dict[str, Any] = {"total": total, "desc": desc, "unit": f" {unit}", "initial": initial, "leave": leave}
    about["bar_format"] = bar_format
    if shown is None and not sys.stderr.isatty():
        return _Lines(over, **about)
    return tqdm(over, **about, disable=shown is False)


def one_step(desc: str, *, shown: bool | None = None) -> tqdm[Any]:
    """Around work that cannot say how far it is: how long it has taken so far."""
    return progress_bar(total=None, desc=desc, unit="steps", shown=shown, leave=False, bar_format="{desc}")


def tell(line: str, **facts: Any) -> None:
    """A line on stderr, or what a program makes of it."""
    print(json.dumps(facts) if os.environ.get(LOG) == "json" else line, file=sys.stderr, flush=True)


class _Lines(tqdm):
    """Says every half minute what a bar would show: what, how far, how fast, how long still, how much memory.

    Of several that are open the last speaks also while nothing is done: what it counts may take long.
    """

    #: Those that are open, the last one the innermost; when any of them spoke last.
    _all_open: ClassVar[list[_Lines]] = []
    _heard_at: ClassVar[float] = 0.0

    def __init__(self, over: Iterable[Any] | None, **about: Any) -> None:
        self._said_at, self._said, self._told = time.monotonic(), False, 0
        self._closed = threading.Event()
        super().__init__(over, **about, file=io.StringIO(), mininterval=EVERY / 10, miniters=1)
        self._all_open.append(self)
        threading.Thread(target=self._watch, name="progress", daemon=True).start()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if time.monotonic() - self._said_at >= EVERY:
            self._say()

    def close(self) -> None:
        """The last line, where there was one before it and more is to be told."""
        if not self.disable and self._said and self.n > self._told:
            self._say()
        self._closed.set()
        if self in self._all_open:
            self._all_open.remove(self)
        super().close()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK):
            silent = time.monotonic() - max(self._said_at, _Lines._heard_at) >= EVERY
            if silent and self._all_open[-1:] == [self]:
                self._say()

    def _say(self) -> None:
        self._said_at = _Lines._heard_at = time.monotonic()
        self._said, self._told = True, self.n
        facts = self._facts()
        total, left, rate = facts["total"], facts["seconds_left"], facts["per_second"]
        counted = f" {facts['done']:,}" + ("" if total is None else f" of {total:,}") + f"{self.unit},"
        line = f"{facts['work']}:" + (counted if total is not None or facts["done"] else "")
        line += f" {rate:.3g} per second" if rate else f" {tqdm.format_interval(facts['seconds'])} so far"
        line += "" if left is None else f", {tqdm.format_interval(left)} left"
        tell(f"{line}, {in_bytes(facts['memory'])} of memory", **facts)

    def _facts(self) -> dict[str, Any]:
        import psutil

        spent = self.format_dict["elapsed"]
        rate = (self.n - self.initial) / spent if spent > 0 else None
        left = (self.total - self.n) / rate if rate and self.total is not None else None
        return {
            "work": self.desc.removesuffix(": "),
            "done": self.n,
            "total": self.total,
            "unit": self.unit.strip(),
            "per_second": rate,
            "seconds": spent,
            "seconds_left": left,
            "memory": psutil.Process().memory_info().rss,
        }
