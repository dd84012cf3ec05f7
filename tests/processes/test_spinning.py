"""Threads that wait spin for long on a quiet machine only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iqa.processes import spinning
from iqa.processes.spinning import ALONE, BESIDE_OTHERS, is_crowded, set_spinning


@pytest.fixture
def on_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spinning, "cores", lambda: 2)
    monkeypatch.setattr(spinning.os, "cpu_count", lambda: 4)


@pytest.mark.usefixtures("on_four_cores")
@pytest.mark.parametrize(("running", "crowded"), [(1, False), (3, False), (4, True), (9, True)])
def test_it_is_crowded_where_two_more_threads_would_have_to_share_cores(
    running: int, crowded: bool, tmp_path: Path
) -> None:
    load = tmp_path / "loadavg"
    load.write_text(f"0.20 0.18 0.12 {running}/80 11206\n")
    assert is_crowded(load) is crowded


@pytest.mark.parametrize("text", ["", "0.20 0.18 0.12", "0.20 0.18 0.12 many/80 1"])
def test_where_nothing_is_told_it_is_not_crowded(text: str, tmp_path: Path) -> None:
    assert not is_crowded(tmp_path / "absent")
    (tmp_path / "loadavg").write_text(text)
    assert not is_crowded(tmp_path / "loadavg")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what runs")
def test_busy_neighbours_are_seen() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(spinning.os.cpu_count() or 1)]
    try:
        assert any(is_crowded() for _ in range(100))
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("crowded", "turns"), [(True, BESIDE_OTHERS), (False, ALONE)])
def test_the_users_choice_stays_and_else_it_goes_by_what_runs(
    crowded: bool, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spinning, "is_crowded", lambda: crowded)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    set_spinning()
    assert spinning.os.environ["GOMP_SPINCOUNT"] == str(turns)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    set_spinning()
    assert spinning.os.environ["GOMP_SPINCOUNT"] == "7"
