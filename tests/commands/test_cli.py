"""What every command does besides its work."""

from __future__ import annotations

import platform

import pytest

#: Fills 64 MB twenty times over, and counts the pages that the system had to provide anew.
WORK = """
import resource
import numpy as np
{0}
def work(_):
    faults = []
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(2**23)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(max(faults[2:]))
{1}
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_freed_memory_is_used_again(run) -> None:
    plain = run("-c", WORK.format("", "work(None)"))
    command = run("-c", WORK.format("from iqa.commands.cli import run_command", "run_command(work, [])"))
    assert command.returncode == 0, command.stderr
    assert int(command.stdout) < 100
    assert int(plain.stdout) > 0  # else there is nothing to gain on this machine
