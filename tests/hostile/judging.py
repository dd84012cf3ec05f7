"""What a case comes to: it worked, it was refused in the project's own words, or it is a fault."""

from __future__ import annotations

import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from iqa.errors import IqaError

#: Seconds within which a case ends, however it ends.
LIMIT = 10.0
#: Bytes that a case may take, beyond what there is.
MEMORY = 4 * 2**30


class TookTooLongError(BaseException):
    """A case hangs; nothing that handles errors is to catch this."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        verdict: "worked", "refused" or "fault".
        said: the refusal, or what is wrong.
        where: the line of the project that a fault comes from, by which like ones are told.
    """

    verdict: str
    seconds: float
    said: str = ""
    where: str = ""


def judge(
    work: Callable[[], object],
    place: Path,
    *,
    room: Path | None = None,
    also: tuple[type[Exception], ...] = (),
    limit: float = LIMIT,
) -> Outcome:
    """Do the work; see how it ends, and whether files came or went below `place`, but for those in `room`.

    Args:
        also: errors beside the project's own that are a refusal there.
    """
    before, began = listing(place, room), time.monotonic()
    verdict, said, where = "worked", "", ""
    try:
        with memory_limit(), time_limit(limit):
            work()
    except (IqaError, *also) as error:
        verdict, said = "refused", str(error)
    except TookTooLongError as error:
        verdict, said, where = "fault", f"more than {limit:g} seconds", origin(error)
    except Exception as error:
        verdict, said, where = "fault", f"{type(error).__name__}: {error}"[:300], origin(error)
    seconds = time.monotonic() - began
    if verdict != "fault" and seconds > limit:
        verdict, said, where = "fault", f"{seconds:.1f} seconds", "slow"
    if strays := listing(place, room) ^ before:
        verdict, said, where = "fault", f"files came or went: {sorted(strays)[:5]}", "strays"
    return Outcome(verdict, seconds, said, where)


def listing(place: Path, room: Path | None = None) -> set[str]:
    """Everything below a folder but what is in `room`, links not followed."""
    found = {os.path.join(folder, name) for folder, below, files in os.walk(place) for name in (*below, *files)}
    return {each for each in found if room is None or not each.startswith(f"{room}{os.sep}")}


def origin(error: BaseException) -> str:
    """The last line of the project that an error passed."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if f"{os.sep}iqa{os.sep}" in each.filename]
    return f"{frames[-1].filename.rpartition(f'{os.sep}iqa{os.sep}')[2]}:{frames[-1].lineno}" if frames else "a test"


@contextmanager
def memory_limit(room: int = MEMORY) -> Iterator[None]:
    """Refuse memory beyond so many bytes more than there are in use: a MemoryError, and no machine brought down."""
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + room, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop what takes longer."""

    def stop(number: int, frame: FrameType | None) -> Any:
        raise TookTooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
