"""MLflow's database file is either whole or not there, however many start at once and whoever is stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from places import ROOT

from iqa.tracking.embedded import database_file, is_whole, make_database

SCRIPT = """
import mlflow.store.tracking.sqlalchemy_store, mlflow, sys
print("ready", flush=True)
sys.stdin.readline()
from iqa.tracking.store import connect
client = connect("sqlite:///mlflow.db")
run = client.create_run("0")
client.log_metric(run.info.run_id, "srcc", 0.5)
client.set_terminated(run.info.run_id)
"""


def start(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Let all begin at once."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as three processes left it that wanted it at once."""
    place = tmp_path_factory.mktemp("fresh")
    processes = [start(place) for _ in range(3)]
    go(processes)
    for process in processes:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
    return place / "mlflow.db"


def test_three_that_start_at_once_in_a_fresh_folder_all_find_it_whole(whole: Path) -> None:
    assert is_whole(whole)
    with closing(sqlite3.connect(whole)) as base:
        assert base.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)] * 3
    assert sorted(path.name for path in whole.parent.iterdir()) == [".mlflow.db.lock", "mlflow.db"]


def test_one_that_is_killed_on_the_way_leaves_nothing_that_hinders(tmp_path: Path) -> None:
    process = start(tmp_path)
    go([process])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".mlflow.db.new")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(0).uniform(0.1, 1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    file = tmp_path / "mlflow.db"
    assert not file.exists() or is_whole(file)  # a quick machine may be done by then
    again = start(tmp_path)
    go([again])
    _, errors = again.communicate(timeout=180)
    assert again.returncode == 0, errors
    assert is_whole(tmp_path / "mlflow.db")
    assert not list(tmp_path.glob("*.new*"))


def test_a_half_made_one_of_another_program_is_kept_and_a_new_one_made(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as base:
        base.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        base.commit()
    os.utime(file, (0, 0))
    monkeypatch.setattr("iqa.tracking.embedded._make", lambda made: shutil.copy(whole, made))
    make_database(f"sqlite:///{file}")
    assert is_whole(file)
    assert not is_whole(tmp_path / "mlflow.db.broken1")
    assert "mlflow.db.broken1" in caplog.text


def test_one_that_another_program_is_making_is_waited_for(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as base:
        base.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        base.commit()
    monkeypatch.setattr("iqa.tracking.embedded.time.sleep", lambda _: shutil.copy(whole, file))
    make_database(f"sqlite:///{file}")
    assert is_whole(file)
    assert not list(tmp_path.glob("*.broken*"))


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://host/base", "sqlite://", "sqlite:///:memory:"])
def test_other_stores_are_left_alone(uri: str) -> None:
    assert database_file(uri) is None
    make_database(uri)
