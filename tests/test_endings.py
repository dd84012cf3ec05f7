"""Commands that are stopped: by which exit code they tell so, what they leave, and how they go on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from forked import Begun
from places import ROOT

import iqa
from iqa.api.running import finish
from iqa.config.reading import build_config
from iqa.files import read_json, write_json
from iqa.records import EpochRecord
from iqa.tracking import open_run
from iqa.tracking.embedded import is_whole, make_database
from iqa.tracking.sending.delivery import SENDERS
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint

SETTINGS: dict[str, Any] = {
    "experiment_name": "tiny",
    # Of batches so small an epoch takes longer than a signal.
    "data": {"dataset": "photos", "train_samples": 64, "val_samples": 32, "test_samples": 32, "batch_size": 2,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 32, "hidden_dim": 32, "n_clusters": 3,
              "mixture": {"dim": 4}},
    "training": {"device": "cpu", "intervals": False, "scheduler": "none"},
}  # fmt: skip
#: Seconds in which a stopped training is to have left; on a machine with more to do, some more.
LEAVES_IN = 5.0 if (os.cpu_count() or 1) > os.getloadavg()[0] else 15.0


# What all commands share


COMMAND = """
import sys, time
from pathlib import Path
from iqa.commands.cli import run_command

def main(arguments):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("saving", flush=True)
        print("saving", file=sys.stderr, flush=True)
        Path("saved").touch()

run_command(main, [])
"""


@pytest.fixture(autouse=True)
def _begun_without_nohup() -> Iterator[None]:
    """Whoever runs the tests may have begun them with nohup, which commands inherit and obey."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def begin(place: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", COMMAND], cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, **options
    )


@pytest.mark.parametrize(
    ("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_command_saves_and_tells_by_its_exit_code_what_stopped_it(
    tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    process = begin(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(stop)
    said, errors = process.communicate(timeout=20)
    assert (process.returncode, said, errors) == (code, "saving\n", "saving\ninterrupted\n")
    assert (tmp_path / "saved").exists()


def test_a_terminal_that_is_closed_lets_a_command_save(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()  # a terminal's closing is told to the session that it controls
        os.open(os.ttyname(0), os.O_RDWR)

    process = begin(
        tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=own_terminal,
    )
    os.close(theirs)
    assert os.read(ours, 100).startswith(b"ready")
    os.close(ours)
    assert process.wait(20) == 129
    assert (tmp_path / "saved").exists()


def test_what_nohup_keeps_going_is_not_stopped_by_a_closed_terminal(tmp_path: Path) -> None:
    process = begin(tmp_path, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


# A training in the midst of an epoch


class Training:
    """`iqa train` of the tiny experiment, as a user would run it."""

    def __init__(self, place: Path, cache: Path) -> None:
        self.place, self.folder = place, place / "experiments" / "tiny"
        (place / "tiny.json").write_text(json.dumps(SETTINGS))
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "IQA_CACHE": str(cache), "OMP_NUM_THREADS": "1"}

    def start(self, *options: str) -> Begun:
        command = ["-m", "iqa", "train", "--config", "tiny.json", *options]
        return Begun(command, cwd=self.place, env=self.environment)

    def runs(self) -> list[tuple[str, str | None]]:
        """Status and error of all runs in MLflow."""
        with closing(sqlite3.connect(self.place / "mlflow.db")) as base:
            return base.execute(
                "SELECT status, value FROM runs LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND key = 'error'"
            ).fetchall()

    def steps(self, name: str) -> list[int]:
        with closing(sqlite3.connect(self.place / "mlflow.db")) as base:
            return [step for (step,) in base.execute("SELECT step FROM metrics WHERE key = ? ORDER BY step", (name,))]


@pytest.fixture
def training(tmp_path: Path, shared_cache: Path, place_database: Callable[[Path], None]) -> Training:
    place_database(tmp_path / "mlflow.db")
    return Training(tmp_path, shared_cache)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"])
def test_a_training_that_is_stopped_within_an_epoch_leaves_soon_and_goes_on(
    training: Training, stop: signal.Signals, code: int
) -> None:
    process = training.start("--training.epochs", "1000")
    deadline = time.monotonic() + 120
    while not (training.folder / "training_history.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    sent = time.monotonic()
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert time.monotonic() - sent < LEAVES_IN
    assert "Traceback" not in errors
    (told,) = re.findall(r"stopped; (\d+) of 1000 epochs are done", errors)
    done = len(read_json(training.folder / "training_history.json")["epochs"])
    assert len(load_checkpoint(training.folder / "last_model.pth")["history"]) == done == int(told)
    assert not list(training.folder.glob(".*"))
    ((status, error),) = training.runs()
    assert status == "KILLED"
    assert error

    if stop is signal.SIGTERM:
        again = training.start("--training.epochs", str(done + 2), "--resume")
        _, errors = again.communicate(timeout=120)
        assert again.returncode == 0, errors
        assert training.runs() == [("FINISHED", None)]
        assert training.steps("epoch/val/loss") == list(range(1, done + 3))


def test_a_training_that_was_killed_before_it_saved_anything_is_begun_again_in_its_place(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None, place_database: Callable
) -> None:
    monkeypatch.chdir(tmp_path)
    place_database(tmp_path / "mlflow.db")
    values = SETTINGS | {
        "data": SETTINGS["data"] | {"batch_size": 32},
        "training": {"epochs": 1, "device": "cpu", "intervals": False},
    }
    config, kept = build_config(values), []

    # What a kill leaves of the first one: its settings, its pictures and a run that seems to go on.
    def vanish(*given: object, **named: object) -> torch.Tensor:
        for path in (tmp_path / "experiments" / "tiny").iterdir():
            kept.append((path, path.read_bytes()))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        iqa.train(config, loss=vanish)
    for path, content in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    training = Training(tmp_path, shared_cache)
    (training.folder / "best_model.pth").write_bytes(b"the first of two files that a save writes")
    (training.folder / ".last_model.pth.abcd.tmp").write_bytes(b"half of the sec")
    assert len(iqa.train(config, resume=True).history) == 1
    assert training.runs() == [("FINISHED", None)]
    assert [path.name for path in (tmp_path / "experiments").iterdir() if path.name[0] != "."] == ["tiny"]
    assert not list(training.folder.glob(".*"))


def test_a_resumed_run_gets_what_it_lacks_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_database: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    place_database(tmp_path / "mlflow.db")
    config = build_config(SETTINGS | {"tracking": {"system_metrics": False}})

    def epoch(number: int) -> EpochRecord:
        return EpochRecord(number, *[0.5] * 10, learning_rate=0.1, images_per_second=100.0, seconds=1.0)

    def killed() -> None:
        with open_run(config, role="train", name="tiny") as tracker:
            held.append(tracker.run_id)
            for number in (1, 2, 4):
                tracker.log_epoch(epoch(number))
            raise KeyboardInterrupt

    held: list[str | None] = []
    with pytest.raises(KeyboardInterrupt):
        killed()
    with open_run(config, role="train", name="tiny", run_id=held[0]) as tracker:
        for number in (1, 2, 3, 4, 5):
            tracker.log_epoch(epoch(number))
    training = Training(tmp_path, tmp_path)
    assert training.runs() == [("FINISHED", None)]
    for name in ("epoch/val/loss", "epoch/train/learning_rate", "speed/seconds"):
        assert training.steps(name) == [1, 2, 3, 4, 5]


def test_one_that_is_stopped_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_database: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    place_database(tmp_path / "mlflow.db")
    config = build_config(SETTINGS | {"tracking": {"system_metrics": False}})
    monkeypatch.setattr("iqa.tracking.run.LEAVING_SECONDS", 0.3)
    monkeypatch.setattr("iqa.tracking.sending.outbox.KEEPING_SECONDS", 0.2)
    free = threading.Event()
    monkeypatch.setitem(SENDERS, "text", lambda client, delivery: free.wait(60))
    (tmp_path / "kept").mkdir()

    def stopped() -> None:
        with open_run(config, role="train", name="tiny", directory=tmp_path / "kept") as tracker:
            tracker.log_config(config)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert time.monotonic() - began < 20
    free.set()


KILLED_WRITER = """
import os, signal, sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA journal_mode = DELETE")
base.execute("PRAGMA cache_size = 1")  # so that a part of what is written reaches the file before its end
base.execute("BEGIN")
base.execute("UPDATE experiments SET name = 'half'")
for number in range(2000):
    base.execute("INSERT INTO experiment_tags VALUES (?, ?, 0)", (str(number), "x" * 500))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_database_whose_writer_was_killed_is_no_half_made_one(
    tmp_path: Path, place_database: Callable[[Path], None]
) -> None:
    file = tmp_path / "mlflow.db"
    place_database(file)
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(file)], check=False)
    assert (tmp_path / "mlflow.db-journal").stat().st_size
    assert is_whole(file)
    make_database(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as base:
        assert base.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
    assert not list(tmp_path.glob("*.broken*"))


def test_a_test_that_was_killed_before_mlflow_knew_all_of_it_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = build_config(SETTINGS), ExperimentFolder(tmp_path / "tiny")
    folder.write_config(config)
    folder.best.touch()
    write_json(folder.visualizations / "test_results.json", {})
    finish(config, folder, parent=None, skip_tsne=True)  # finds nothing to do
    folder.testing.touch()
    monkeypatch.setattr("iqa.api.running.Session", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        finish(config, folder, parent=None, skip_tsne=True)
