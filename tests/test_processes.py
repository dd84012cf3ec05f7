"""A process has a name that no other shares, and counts as dead from the moment that it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from iqa.processes import is_alive, is_here, this_process

TELL = "from iqa.processes import this_process; print(this_process(), flush=True); input()"


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return held


def test_this_process_lives_here() -> None:
    assert is_here(this_process())
    assert is_alive(this_process())


def test_a_killed_process_is_dead_before_its_parent_has_looked() -> None:
    child = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert is_alive(name)
        child.kill()
        assert eventually(lambda: not is_alive(name))
    finally:
        child.communicate()
    assert not is_alive(name)


def test_a_later_process_of_the_same_number_is_another() -> None:
    host, pid, start = this_process().split(":")
    assert not is_alive(f"{host}:{pid}:{int(start) - 100}")


def test_processes_of_other_machines_are_taken_to_live() -> None:
    assert is_alive("elsewhere:1:1")
    assert not is_here("elsewhere:1:1")
