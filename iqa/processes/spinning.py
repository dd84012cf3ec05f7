"""How long threads that wait for each other spin: longer where each has a core of its own than beside other work.

A thread that sleeps takes long to wake, and one that spins keeps a core from whoever has work for it
(`benchmarks/waiting.py` has the figures of both).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from iqa.processes.identity import PROC
from iqa.processes.threads import cores

#: Turns of libgomp: on a quiet machine, and where other work runs.
ALONE, BESIDE_OTHERS = 50_000, 1_000
#: How often, and after how many seconds each, it is looked what else runs.
LOOKS, BETWEEN = 6, 0.004
#: Threads on the average that have no core of their own.
CROWDED = 0.5


def set_spinning() -> None:
    """Choose for this process, before torch is imported; what the user chose stays."""
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ["GOMP_SPINCOUNT"] = str(BESIDE_OTHERS if is_crowded() else ALONE)


def is_crowded(load: Path = PROC / "loadavg") -> bool:
    """Whether the machine runs so much that threads on all of our cores would not each have one of their own.

    False where it cannot be told: only Linux says how many threads want to run at this moment.
    """
    wanted = []
    for _ in range(LOOKS):
        try:
            running = load.read_text().split()[3]
            wanted.append(int(running.partition("/")[0]) - 1)  # one of them is the one that looks
        except (OSError, ValueError, IndexError):
            return False
        time.sleep(BETWEEN)
    return sum(wanted) / LOOKS + cores() > (os.cpu_count() or 1) + CROWDED
