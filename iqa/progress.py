"""How far long work is: a bar on a terminal, elsewhere a line each half minute."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from iqa.files import in_bytes

#: Seconds between two lines; work that is done sooner writes none.
EVERY = 30.0
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
) -> tqdm[Any]:
    """A bar of tqdm's, or what takes its place.

    Args:
        over: what is gone through, if it is to count by itself.
        total, initial: how many there are, None where nobody knows; how many were done before.
        desc, unit: what is done, and to what.
        shown: True, a bar in any case; None, a bar on a terminal, else lines on stderr; False, nothing.
        leave: keep the full bar on the terminal.
    """
    about: dict[str, Any] = {"total": total, "desc": desc, "unit": f" {unit}s", "initial": initial, "leave": leave}
    if shown is None and not sys.stderr.isatty():
        return _Lines(over, **about)
    return tqdm(over, **about, disable=shown is False)


class _Lines(tqdm):
    """Says every half minute what a bar would show: what, how far, how fast, how long still, how much memory."""

    def __init__(self, over: Iterable[Any] | None, **about: Any) -> None:
        self._said_at, self._said = time.monotonic(), False
        super().__init__(over, **about, file=io.StringIO(), mininterval=EVERY / 10, miniters=1)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if time.monotonic() - self._said_at >= EVERY:
            self._say()

    def close(self) -> None:
        """The last line, where there was one before it."""
        if not self.disable and self._said:
            self._say()
        super().close()

    def _say(self) -> None:
        self._said_at, self._said = time.monotonic(), True
        facts = self._facts()
        if os.environ.get(LOG) == "json":
            line = json.dumps(facts)
        else:
            total, left, rate = facts["total"], facts["seconds_left"], facts["per_second"]
            line = f"{facts['work']}: {facts['done']:,}" + ("" if total is None else f" of {total:,}") + str(self.unit)
            line += f", {rate:.3g} per second" if rate else ""
            line += "" if left is None else f", {tqdm.format_interval(left)} left"
            line += f", {in_bytes(facts['memory'])} of memory"
        print(line, file=sys.stderr, flush=True)

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
            "seconds_left": left,
            "memory": psutil.Process().memory_info().rss,
        }
