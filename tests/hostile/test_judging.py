"""What tells faults from refusals does so: hangs and files out of place are seen."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hostile.judging import judge
from iqa.errors import UserError


def test_a_limit_of_time_ends_what_hangs(tmp_path: Path) -> None:
    outcome = judge(lambda: threading.Event().wait(), tmp_path, limit=0.2)
    assert (outcome.verdict, outcome.said) == ("fault", "more than 0.2 seconds")


def test_files_out_of_place_are_seen(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    assert judge((room / "fine").touch, tmp_path, room=room).verdict == "worked"
    assert judge((tmp_path / "stray").touch, tmp_path, room=room).verdict == "fault"


def test_memory_without_end_is_refused(tmp_path: Path) -> None:
    assert "MemoryError" in judge(lambda: bytearray(2**40), tmp_path).said


@pytest.mark.parametrize(("error", "verdict"), [(UserError("no"), "refused"), (KeyError("no"), "fault")])
def test_errors_of_other_kinds_are_faults(error: Exception, verdict: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise error

    assert judge(fail, tmp_path).verdict == verdict
