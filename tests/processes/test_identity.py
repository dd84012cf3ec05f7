"""A process has a name that no other shares, and counts as dead from the moment that it is, and not before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from iqa.processes import identity
from iqa.processes.identity import FIRST_NAMESPACE, Silence, beating, is_alive, is_here, this_process

TELL = "from iqa.processes import this_process; print(this_process(), flush=True); input()"


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return held


def renamed(**parts: str) -> str:
    """This process, but for some parts of its name."""
    name = identity._read(this_process())
    assert name is not None
    return str(name._replace(**parts))


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process and its name."""
    started = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    yield started, started.stdout.readline().strip()
    started.kill()
    started.communicate()


def test_this_process_lives_here() -> None:
    assert is_here(this_process())
    assert is_alive(this_process())


@pytest.mark.parametrize("heard", [False, True])
def test_a_killed_process_is_dead_before_its_parent_has_looked(child: tuple, heard: bool) -> None:
    process, name = child
    assert is_alive(name)
    process.kill()
    assert eventually(lambda: not is_alive(name, heard=heard)), "its name leaves no doubt"
    process.communicate()
    assert not is_alive(name)


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert not is_alive(renamed(start="1"), heard=True)


def test_a_clock_that_is_set_changes_no_name_and_kills_nobody(monkeypatch: pytest.MonkeyPatch, child: tuple) -> None:
    name, before = child[1], this_process()
    former = f"{socket.gethostname()}:{child[0].pid}:{psutil.Process(child[0].pid).create_time():.0f}"
    told = psutil.Process.create_time
    for step in (2.0, -2.0):
        monkeypatch.setattr(psutil.Process, "create_time", lambda process, step=step: told(process) + step)
        assert this_process() == before
        assert is_alive(name)
        assert is_alive(former)


def test_another_container_of_the_same_host_name_is_not_judged() -> None:
    for elsewhere in (renamed(namespace="4026539999", pid="4000000"), renamed(boot="0123456789ab", machine="")):
        assert not is_here(elsewhere)
        assert is_alive(elsewhere)
    copied = renamed(boot="0123456789ab", namespace="4026539999", pid="4000000")
    assert is_alive(copied), "containers of one image share the machine's id"


def test_what_ran_before_the_machine_was_started_again_is_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identity, "MACHINE_ID", tmp_path / "machine-id")
    (tmp_path / "machine-id").write_text("c0ffee\n")
    monkeypatch.setattr(identity, "FIRST_NAMESPACE", identity._this_process().namespace)
    before = renamed(boot="0123456789ab")
    assert not is_alive(before)
    assert is_alive(before, heard=True), "or on a copy of this machine"
    assert is_alive(renamed(boot="0123456789ab", host="another"))
    monkeypatch.setattr(identity, "FIRST_NAMESPACE", "1")
    assert is_alive(before), "or in a container"
    (tmp_path / "machine-id").unlink()
    assert is_alive(renamed(boot="0123456789ab"))


def test_the_names_of_earlier_versions_are_understood(child: tuple) -> None:
    process, host = child[0], socket.gethostname()
    start = psutil.Process(process.pid).create_time()
    former = f"{host}:{process.pid}:{start:.0f}"
    assert is_here(former)
    assert is_alive(former)
    assert not is_alive(f"{host}:{process.pid}:{start - 100:.0f}"), "a later process of the same number"
    process.kill()
    assert eventually(lambda: not is_alive(former))
    assert is_alive(former, heard=True), "it may be another container's"
    for broken in (f"{host}:", f"{host}:x:1", f"{host}:1", f"{host}:{10**30}:1"):
        assert not is_alive(broken)


def test_earlier_versions_leave_a_process_of_this_one_alone() -> None:
    assert this_process().partition(":")[0] != socket.gethostname()


def test_processes_of_other_machines_are_taken_to_live() -> None:
    assert is_alive("elsewhere:1:1")
    assert not is_here("elsewhere:1:1")


def test_without_proc_a_process_is_known_by_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    linux = this_process()
    monkeypatch.setattr(identity, "PROC", tmp_path / "none")
    assert this_process() == f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"
    assert is_here(this_process())
    assert is_alive(this_process())
    assert is_alive(linux), "of a machine that has it"
    assert not is_alive(f"{socket.gethostname()}:{os.getpid()}:1", heard=True), "there are no containers"


def test_the_first_namespace_is_the_one_of_linux() -> None:
    assert int(FIRST_NAMESPACE) == 0xEFFFFFFC


def test_signs_of_life_come_while_a_block_lasts_and_a_lost_one_ends_nothing() -> None:
    sent: list[int] = []

    def send() -> None:
        sent.append(len(sent))
        if len(sent) == 2:
            raise OSError("the server is away")

    with beating(send, 0.01):
        assert eventually(lambda: len(sent) > 3)
    told = len(sent)
    time.sleep(0.05)
    assert len(sent) == told


def test_silence_is_counted_from_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(identity.time, "monotonic", lambda: now[0])
    silence = Silence()
    assert silence.seconds("a", 1) == 0
    now[0] += 7
    assert silence.seconds("a", 1) == 7
    assert silence.seconds("b", 1) == 0
    now[0] += 1
    assert silence.seconds("a", 2) == 0
    now[0] += 3
    assert silence.seconds("a", 2) == 3
