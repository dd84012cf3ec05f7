"""What of the processor and of memory this process may use, and work on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

#: Of glibc: bytes from which memory is mapped for one allocation alone, and of free memory that is given back. So high,
#: what is freed is used again (see `iqa.commands.cli`).
MAPPED_FROM, GIVEN_BACK_FROM = 2**30, 2**31 - 1

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processor cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[T], R], items: Sequence[T], *, workers: int, at_once: int) -> Iterator[R]:
    """What `work` makes of each item, in order, done on threads; at most `at_once` results wait to be taken."""
    with ThreadPoolExecutor(max(1, workers)) as threads:
        for start in range(0, len(items), at_once):
            yield from threads.map(work, items[start : start + at_once])
