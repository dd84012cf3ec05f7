"""Processes: what of the processor this one may use, how to tell it from all others, and whether one still lives."""

from __future__ import annotations

import os
import socket


def cores() -> int:
    """Processor cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_process() -> str:
    """A name for this process that no later one on this machine shares: host:pid:start."""
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def is_here(process: str) -> bool:
    """Whether a name that `this_process` gave is of this machine."""
    return process.partition(":")[0] == socket.gethostname()


def is_alive(process: str) -> bool:
    """Whether a process of this machine still runs; other machines' are taken to.

    One that has died counts as dead at once, also while its parent has not asked how it ended: in containers whose
    first process is no init, nobody ever does.
    """
    import psutil

    if not is_here(process):
        return True
    try:
        _, pid, start = process.split(":")
        found = psutil.Process(int(pid))
        return f"{found.create_time():.0f}" == start and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False
