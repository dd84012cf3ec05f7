"""A disk that fills up: what was there stays, the message says what could not be written, and nothing half-written or
running is left.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from tiny_model import picture, write_experiment

import iqa
from iqa.config.reading import build_config, override_config
from iqa.data.store.cache import open_or_build, reserve
from iqa.errors import IqaError, UserError
from iqa.files import read_json
from iqa.scoring.inputs import JOURNAL, find_inputs
from iqa.scoring.journal import Journal
from iqa.tracking import open_run
from iqa.tracking.sending.answers import answer_of
from iqa.tracking.sending.sync import send_waiting
from iqa.training.checkpoints import load_checkpoint
from iqa.training.losses import training_loss

pytestmark = pytest.mark.usefixtures("one_thread")

MB = 1_000_000
SETTINGS = {
    "experiment_name": "tiny",
    "data": {"dataset": "photos", "train_samples": 64, "val_samples": 32, "test_samples": 32, "batch_size": 32,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 32, "hidden_dim": 32, "n_clusters": 0},
    "training": {"epochs": 4, "device": "cpu", "intervals": False},
}  # fmt: skip


class Disk:
    """A small disk of its own, which can be filled up and freed."""

    def __init__(self, path: Path) -> None:
        self.path, self._filling = path, path / "filling"

    def fill(self, leave: int = 0) -> None:
        """Take all that is free but for `leave` bytes."""
        with self._filling.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(self.path).free - leave))

    def free(self) -> None:
        self._filling.unlink()

    def hidden(self) -> list[str]:
        """What was begun to be written and is still there."""
        return [path.name for path in self.path.rglob("*") if path.name.endswith((".tmp", ".new", ".part"))]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Disk]]:
    """Mounts a disk of so many MB, or skips where that is not allowed."""
    mounted = []

    def mount(size: int) -> Disk:
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no disk of its own can be mounted here: {error}")
        if done.returncode:
            pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return Disk(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def train(tmp_path: Path, place_database: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch):
    """Trains the tiny experiment with MLflow's store in the test's folder; `at` steps of training something happens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iqa.training.session.SAVE_EVERY", 0.0)

    def run(*settings: str, at: dict[int, Callable[[], None]] | None = None, **options: Any) -> Any:
        if not (tmp_path / "mlflow.db").is_symlink() and not (tmp_path / "mlflow.db").exists():
            place_database(tmp_path / "mlflow.db")
        steps = iter(range(1, 10**6))

        def loss(*given: Any) -> torch.Tensor:
            (at or {}).get(next(steps), lambda: None)()
            return training_loss(*given)

        config = override_config(build_config(SETTINGS), list(settings))
        return iqa.train(config, loss=loss, **options)

    return run


def statuses(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        return [status for (status,) in base.execute("SELECT status FROM runs")]


def metrics(folder: Path, name: str) -> list[int]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        return [step for (step,) in base.execute("SELECT step FROM metrics WHERE key = ? ORDER BY step", (name,))]


# A training


def test_one_whose_folder_is_full_keeps_its_last_checkpoint_and_goes_on_when_there_is_room(
    tmp_path: Path, disk: Callable[[int], Disk], train: Callable[..., Any]
) -> None:
    whole = train("--experiment_name", "whole", output=tmp_path)
    place = disk(24)
    with pytest.raises(IqaError) as caught:
        train(output=place.path, at={5: place.fill})
    assert type(caught.value) is IqaError
    folder = place.path / "tiny"
    assert str(caught.value).startswith(f"cannot write {folder}/")
    assert "free space or change rights on" in str(caught.value)
    done = load_checkpoint(folder / "last_model.pth")["history"]
    assert len(done) == 2
    assert load_checkpoint(folder / "best_model.pth")["epoch"] <= 3
    assert len(read_json(folder / "training_history.json")["epochs"]) == 2
    assert not place.hidden()
    assert sorted(statuses(tmp_path)) == ["FAILED", "FINISHED"]

    place.free()
    resumed = train(output=place.path, resume=True)
    assert [record.val_loss for record in resumed.history] == [record.val_loss for record in whole.history]
    assert statuses(tmp_path) == ["FINISHED", "FINISHED"]


def test_one_that_has_no_room_for_its_checkpoints_is_not_begun(
    tmp_path: Path, disk: Callable[[int], Disk], train: Callable[..., Any]
) -> None:
    place = disk(2)
    with pytest.raises(UserError, match="not enough room for the checkpoints"):
        train(output=place.path)
    assert [path.name for path in place.path.iterdir() if not path.name.startswith(".")] == []
    assert statuses(tmp_path) == []


def test_a_full_store_of_mlflow_stops_no_training_and_gets_all_of_it_later(
    tmp_path: Path,
    disk: Callable[[int], Disk],
    train: Callable[..., Any],
    place_database: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = disk(48)
    place_database(place.path / "mlflow.db")
    (place.path / "mlruns").mkdir()
    (tmp_path / "mlruns").symlink_to(place.path / "mlruns")
    store = f"sqlite:///{place.path}/mlflow.db"
    done = train("--tracking.uri", store, output=tmp_path, at={3: place.fill})
    assert len(done.history) == 4
    assert (tmp_path / "tiny" / "tracking_pending.jsonl").is_file()
    assert "full" in caplog.text or "No space" in caplog.text
    place.free()
    sent, waiting = send_waiting(tmp_path / "tiny", store)
    assert (sent > 0, waiting) == (True, 0)
    assert statuses(place.path) == ["FINISHED"]
    assert metrics(place.path, "epoch/val/loss") == [1, 2, 3, 4]


def test_a_full_store_that_has_no_database_yet_stops_no_training(
    tmp_path: Path, disk: Callable[[int], Disk], train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = disk(1)
    monkeypatch.setattr("iqa.tracking.embedded._make", lambda file: file.write_bytes(bytes(4 * MB)))
    done = train("--tracking.uri", f"sqlite:///{place.path}/mlflow.db", output=tmp_path)
    assert len(done.history) == 4
    assert (tmp_path / "tiny" / "tracking_pending.jsonl").is_file()
    assert not list(place.path.glob("*mlflow.db"))


@pytest.mark.parametrize("frozen", ["false", "true"], ids=["pictures", "features"])
def test_a_full_cache_is_told_with_what_helps_and_leaves_nothing(
    tmp_path: Path,
    disk: Callable[[int], Disk],
    train: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    frozen: str,
) -> None:
    place = disk(8)
    monkeypatch.setenv("IQA_CACHE", str(place.path))
    # What a forecast foresees is refused before it is begun; here others take the room meanwhile.
    monkeypatch.setattr("iqa.data.store.cache.require_room", lambda *given: None)
    if frozen == "true":
        train("--training.epochs", "1", output=tmp_path / "other")
    before = sorted(path.name for path in place.path.iterdir() if not path.name.startswith("."))
    place.fill(20_000)
    with pytest.raises(IqaError) as caught:
        train("--model.freeze_backbone", frozen, output=tmp_path)
    said = str(caught.value)
    assert said.startswith(f"cannot write {place.path}/")
    assert "IQA_CACHE" in said
    assert not place.hidden()
    place.free()
    assert sorted(path.name for path in place.path.iterdir() if not path.name.startswith(".")) == before
    assert not (tmp_path / "tiny").exists()
    assert "RUNNING" not in statuses(tmp_path)
    assert len(train("--model.freeze_backbone", frozen, output=tmp_path).history) == 4


# What a trained model is asked for


def test_a_test_whose_figures_find_no_room_leaves_the_earlier_results(
    tmp_path: Path, disk: Callable[[int], Disk], train: Callable[..., Any]
) -> None:
    place = disk(24)
    train(output=place.path)
    folder = place.path / "tiny"
    iqa.evaluate(folder, skip_tsne=True)
    results = (folder / "visualizations" / "test_results.json").read_bytes()
    place.fill(60_000)  # of which the first figure takes more
    with pytest.raises(IqaError, match=f"cannot write {folder}/visualizations/"):
        iqa.evaluate(folder, skip_tsne=True)
    assert (folder / "visualizations" / "test_results.json").read_bytes() == results
    assert not place.hidden()
    assert "RUNNING" not in statuses(tmp_path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        picture(number).save(folder / f"{number:02}.png")
    return folder


def test_a_scoring_whose_folder_is_full_keeps_its_rows_and_goes_on(
    tmp_path: Path, disk: Callable[[int], Disk], train: Callable[..., Any], pictures: Path
) -> None:
    model = write_experiment(tmp_path / "model")
    off = {"tracking.enabled": False}
    whole = iqa.score(model, pictures, output=tmp_path / "whole", settings=off, batch_size=2).table
    place = disk(1)
    out = place.path / "out"
    iqa.score(model, pictures / "00.png", output=place.path / "first", settings=off)
    place.fill(8192)
    with pytest.raises(IqaError, match="cannot write") as caught:
        iqa.score(model, pictures, output=out, settings=off, batch_size=2)
    assert str(out) in str(caught.value)
    assert not place.hidden()
    place.free()
    again = iqa.score(model, pictures, output=out, settings=off, batch_size=2).table
    pd.testing.assert_frame_equal(again, whole, rtol=1e-5)
    assert len((out / JOURNAL).read_text().splitlines()) == 1 + 12


# The same where no disk can be mounted: writes that are refused


class Full:
    """A file whose disk has room for a few more bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room
        self.fileno, self.truncate, self.close = file.fileno, file.truncate, file.close

    def write(self, content: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._file.write(content[: self._room])
        self._room -= written
        return int(written)


def test_a_row_that_finds_no_room_is_told_and_leaves_no_half_of_it(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = find_inputs(str(pictures))
    rows = pd.DataFrame({"score": [1.0, 2.0], "error": [None, None]})
    with Journal(tmp_path / "out", model="m", coverage=0.9, inputs=inputs) as journal:
        journal.append([("00.png", "a"), ("01.png", "b")], rows)
    before = (tmp_path / "out" / JOURNAL).read_bytes()
    with Journal(tmp_path / "out", model="m", coverage=0.9, inputs=inputs) as journal:
        monkeypatch.setattr(journal, "_file", Full(journal._file, room=30))
        with pytest.raises(IqaError, match="cannot write") as caught:
            journal.append([("02.png", "c"), ("03.png", "d")], rows)
        assert set(journal.stamps) == {"00.png", "01.png"}
    assert "No space left" in str(caught.value)
    assert (tmp_path / "out" / JOURNAL).read_bytes() == before


@pytest.mark.parametrize("name", ["best_model.pth", "last_model.pth", "training_history.json"])
def test_whichever_file_of_a_training_finds_no_room_is_named_and_the_epoch_before_stays(
    tmp_path: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    replace, left = os.replace, [3]

    def refuse(source: str, target: Path) -> None:
        left[0] -= Path(target).name == name
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    try:
        train("--tracking.enabled", "false", "--training.epochs", "8", output=tmp_path)
        assert left[0] > 0, "it went on"
        pytest.skip("too few epochs were the best")
    except IqaError as error:
        said = str(error)
    assert said.startswith(f"cannot write {tmp_path}/tiny/{name}\n  got: No space left on device")
    assert not list((tmp_path / "tiny").glob(".*"))
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "tiny" / "last_model.pth")["history"]
    assert read_json(tmp_path / "tiny" / "training_history.json")["epochs"]


def test_room_in_the_cache_that_cannot_be_had_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(IqaError, match="cannot write") as caught:
        open_or_build(
            tmp_path / "cache",
            "features-1",
            {},
            lambda folder: reserve(folder / "features.bin", 10),
            lambda: 10,
            resumable=True,
        )
    assert "IQA_CACHE" in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_a_database_without_room_is_told_as_that_and_asked_again_later() -> None:
    answer = answer_of(MlflowException("(sqlite3.OperationalError) database or disk is full [SQL: INSERT ...]"))
    assert answer.verdict == "unreachable"
    assert answer.told == "has no room left on its disk: free some"


def test_a_folder_without_room_for_a_note_still_gets_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_database: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    place_database(tmp_path / "mlflow.db")
    config = build_config(SETTINGS | {"tracking": {"system_metrics": False}})
    with open_run(config, role="train", name="tiny", directory=tmp_path / "tiny"):
        pass

    def full(*given: object, **named: object) -> None:
        raise IqaError("cannot write mlflow.json")

    monkeypatch.setattr("iqa.tracking.notes.write_run_note", full)
    with open_run(config, role="evaluate", name="tiny-test", directory=tmp_path / "tiny"):
        pass
    assert statuses(tmp_path) == ["FINISHED", "FINISHED"]
