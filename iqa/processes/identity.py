"""How to tell a process from all others, and whether one still lives."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
#: What tells a machine, which it keeps when it is started again; containers of one image may share it.
MACHINE_ID = Path("/etc/machine-id")
#: The namespace of process ids that every Linux starts with: who is in it is in no container.
FIRST_NAMESPACE = "4026531836"
#: Seconds by which the start of a process may seem to move: psutil counts it from a clock that can be set.
CLOCK_STEP = 60.0


def this_process() -> str:
    """A name for this process that no other has, here or in another container or machine, now or later.

    host/namespace:pid:start:boot:machine, with the start in ticks since that boot of the machine, which no clock moves;
    where there is no /proc, host:pid:start as by earlier versions, with the start in seconds since 1970. Earlier
    versions take the longer form for a process of another machine, and leave it alone.
    """
    try:
        return str(_this_process())
    except (OSError, ValueError, IndexError):
        import psutil

        return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def is_here(process: str) -> bool:
    """Whether it can be seen from here if the process lives: it is of this machine, and of no other container."""
    name = _read(process)
    if name is None:
        return process.partition(":")[0] == socket.gethostname()
    here = _read(this_process())
    return here is not None and (name.boot, name.namespace) == (here.boot, here.namespace)


def is_alive(process: str, *, heard: bool = False) -> bool:
    """Whether a process still runs; one that cannot be seen from here, on another machine or in a container, is taken
    to, but for those that were on this machine before it was started again.

    One that has died counts as dead at once, also while its parent has not asked how it ended: in containers whose
    first process is no init, nobody ever does.

    Args:
        process: as `this_process` names it, now or in earlier versions.
        heard: whether it has sent something lately. That counts where its name leaves a doubt: one of an earlier
            version, which says of no container that it is of another, and one from another start of what may be
            another machine that was copied from this one.
    """
    name = _read(process)
    if name is None:
        return _is_alive_by_clock(process, heard)
    here = _read(this_process())
    if here is None:
        return True
    if (name.boot, name.namespace) == (here.boot, here.namespace):
        return _runs(name)
    was_here = name.boot != here.boot and (name.host, name.machine) == (here.host, here.machine) and bool(name.machine)
    return heard or not (was_here and name.namespace == here.namespace == FIRST_NAMESPACE)


@contextmanager
def beating(send: Callable[[], object], every: float) -> Iterator[None]:
    """Give a sign of life now and `every` so many seconds, from a thread, while the block lasts.

    One that cannot be sent is left out, and the next is tried.
    """
    done = threading.Event()

    def beat() -> None:
        while True:
            with suppress(Exception):
                send()
            if done.wait(every):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Silence:
    """For how long signs of life have stayed the same, by the clock of who waits for them: no other has to be right."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[object, float]] = {}

    def seconds(self, who: Hashable, sign: object) -> float:
        """Seconds for which `sign` is what `who` has shown; 0 when it is seen for the first time."""
        now = time.monotonic()
        shown, since = self._last.get(who, (None, now))
        self._last[who] = (sign, since if shown == sign else now)
        return now - self._last[who][1]


class _Name(NamedTuple):
    host: str
    namespace: str
    pid: str
    start: str
    boot: str
    machine: str

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}:{self.pid}:{self.start}:{self.boot}:{self.machine}"


def _read(process: str) -> _Name | None:
    """The parts of a name, or None of one that has the form of earlier versions."""
    parts = re.fullmatch(r"([^/:]*)/(\d+):(\d+):(\d+):(\w+):(\w*)", process)
    return _Name(*parts.groups()) if parts else None


def _this_process() -> _Name:
    """What Linux tells of this process, each from where no clock and no other container has a hand in it."""
    # Not os.getpid(): /proc may show the processes of a namespace outside of this one.
    pid = os.readlink(PROC / "self")
    namespace = re.sub(r"\D", "", os.readlink(PROC / "self/ns/pid"))
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
    if not (pid.isdigit() and namespace and boot.isalnum()):
        raise ValueError("/proc is not what Linux has there")
    try:
        # The id itself is to be kept from others.
        told = MACHINE_ID.read_text().strip()
        machine = hashlib.sha256(f"iqa {told}".encode()).hexdigest()[:8] if told else ""
    except OSError:
        machine = ""
    return _Name(socket.gethostname(), namespace, pid, _stat(pid)[1], boot, machine)


def _stat(pid: str) -> tuple[str, str]:
    """State and start, in ticks since the machine was started: fields 3 and 22 of /proc/PID/stat."""
    # A program's name, which comes before, may hold anything but a newline.
    fields = (PROC / pid / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], fields[19]


def _runs(name: _Name) -> bool:
    """Whether a process of this namespace runs."""
    try:
        state, start = _stat(name.pid)
        return start == name.start and state not in "ZX"
    except (OSError, IndexError):
        pass
    try:
        os.kill(int(name.pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's, which /proc may hide
    return True


def _is_alive_by_clock(process: str, heard: bool) -> bool:
    """Whether a process with a name of earlier versions, host:pid:start, runs."""
    import psutil

    host, _, rest = process.partition(":")
    # What has no container and no name of the longer form leaves no doubt.
    if host != socket.gethostname() or (heard and PROC.exists()):
        return True
    try:
        pid, start = (int(number) for number in rest.split(":"))
        found = psutil.Process(pid)
        return bool(abs(found.create_time() - start) < CLOCK_STEP and found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):
        return False
