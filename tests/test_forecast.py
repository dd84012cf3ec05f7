"""Before it begins, work says what it will do, what it will take and where it writes; and it takes about that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawn import draw
from tiny_model import picture

import iqa
from iqa import progress
from iqa.commands.main import VERBS, main
from iqa.config.reading import build_config
from iqa.data import expected
from iqa.files import roughly
from iqa.forecast import forecast

pytestmark = pytest.mark.usefixtures("one_thread")


def settings(cache: Path, **changes: Any) -> dict[str, Any]:
    model = {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2,
             "mixture": {"dim": 2}, "freeze_backbone": True}  # fmt: skip
    data = {"dataset": "photos", "train_samples": 90, "val_samples": 30, "test_samples": 30, "batch_size": 30,
            "num_workers": 0, "picture_size": 48, "image_size": 48, "cache_dir": str(cache)}  # fmt: skip
    return {
        "experiment_name": "tiny",
        "data": data | changes.pop("data", {}),
        "model": model | changes.pop("model", {}),
        "training": {"epochs": 2, "device": "cpu", "intervals": False},
        "tracking": {"enabled": False},
        "tuning": {"space": {"model.n_clusters": {"choices": [0, 2]}}, "range_values": 3},
        **changes,
    }


def size_of(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "model",
    [{}, {"freeze_backbone": False}, {"backbone": "resnet18", "frozen_stages": 2, "freeze_backbone": False}],
    ids=["frozen", "trained", "behind frozen stages"],
)
def test_a_training_writes_about_as_much_as_was_said(model: dict[str, Any], tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", model=model)
    said = forecast(build_config(config)).disk
    iqa.train(config, output=tmp_path / "experiments")
    assert said / 1.5 < size_of(tmp_path / "cache", tmp_path / "experiments") < 1.5 * said


def test_what_is_cached_counts_nothing(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache")
    before = forecast(build_config(config))
    iqa.train(config, output=tmp_path / "experiments")
    after = forecast(build_config(config))
    assert all(before.caches.values())
    assert not any(after.caches.values())
    assert after.files == before.files
    # Other sizes have caches of their own.
    other = build_config(settings(tmp_path / "cache", data={"image_size": 64}))
    assert sorted(forecast(other).caches.values())[0] == 0
    assert sum(forecast(other).caches.values()) > 0


def test_a_trained_network_needs_memory_by_the_batch(tmp_path: Path) -> None:
    def memory(batch: int, *, freeze: bool) -> int:
        data = {"batch_size": batch, "image_size": 224}
        config = settings(tmp_path, data=data, model={"backbone": "resnet18", "freeze_backbone": freeze})
        return forecast(build_config(config)).memory

    assert memory(64, freeze=False) > memory(16, freeze=False) + 300e6
    assert memory(64, freeze=False) > memory(64, freeze=True) + 300e6


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    """A set of one's own: 40 pictures, of which one square each is cut."""
    for number in range(40):
        draw(tmp_path / f"{number}.png", number)
    scores = pd.DataFrame({"image": [f"{number}.png" for number in range(40)], "score": range(40)})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    own = {"dataset": "csv", "csv": str(tmp_path / "scores.csv"), "resize": "squash"}
    counts = {"train_samples": None, "val_samples": None, "test_samples": None}
    return settings(tmp_path / "cache", data=own | counts)


def test_scored_pictures_are_counted_and_nothing_is_said_of_the_table_yet(
    table: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    said = forecast(build_config(table))
    assert said.pictures == "28/4/8 pictures"
    # A frozen backbone needs no pixels but once; who wants them kept is told what they take.
    assert sum(said.caches.values()) == 40 * 800 * 2
    table["data"]["store"] = "cache"
    assert max(forecast(build_config(table)).caches.values()) == 40 * 3 * 48**2
    assert caplog.text == ""
    iqa.train(table, output=Path(table["data"]["cache_dir"]) / "experiments")
    assert "28 train, 4 val, 8 test" in caplog.text
    assert not any(forecast(build_config(table)).caches.values())


def test_of_a_large_table_is_said_what_is_known(table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "LARGE_TABLE", 10)
    table["data"]["store"] = "cache"
    said = forecast(build_config(table))
    assert said.pictures == "all pictures that its table names"
    assert said.each > 3 * 48**2
    assert "more for each picture" in said.said()


def test_numbers_are_rounded_as_people_do() -> None:
    assert [roughly(size) for size in (0, 7, 123_456_789, 1_449_999_999)] == ["0 bytes", "7 bytes", "120 MB", "1.4 GB"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two experiments, trained and tested, a config and pictures."""
    place = tmp_path_factory.mktemp("place")
    for name in ("one", "two"):
        config = settings(place / "cache", experiment_name=name)
        (place / f"{name}.json").write_text(json.dumps(config))
        iqa.train(config, output=place / "experiments")
    (place / "photos").mkdir()
    for number in range(3):
        picture(number).save(place / "photos" / f"{number}.png")
    (place / "scores.csv").write_text("image,mos\n0.png,1\n1.png,2\n2.png,3\n")
    return place


COMMANDS = {
    "configs": ["--output", "written"],
    "audit": ["scores.csv"],
    "train": ["--config", "one.json", "--experiment_name", "again"],
    "evaluate": ["--experiment", "experiments/one", "--skip_tsne"],
    "compare": ["--configs", "one.json", "two.json"],
    "tune": ["--config", "one.json", "--trials", "2"],
    "ensemble": ["--experiments", "experiments/one", "experiments/two", "--skip_tsne"],
    "export": ["experiments/one"],
    "score": ["--model", "experiments/one", "--input", "photos", "--tracking.enabled", "false"],
}


# What `serve` says is heard in test_serve.py: it does not end by itself. `doctor` writes nothing, `promote` and
# `sync` to MLflow alone.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("serve", "doctor", "promote", "sync")])
def test_the_first_line_of_every_command_is_its_forecast(
    verb: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv(progress.LOG, "json")
    main([verb, *COMMANDS[verb]])
    heard = capfd.readouterr()
    first = json.loads(heard.err.splitlines()[0])
    assert first["work"] == verb
    assert first["disk"] > 1000
    assert first["writes"]
    if verb == "configs":
        assert all(Path(line).is_file() for line in heard.out.splitlines())
    else:
        assert first["memory"] > 1e8


def test_in_words_it_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    main(["train", *COMMANDS["train"]])
    first = capfd.readouterr().err.splitlines()[0]
    assert first.startswith("train: test_resnet (frozen) with 2 clusters on photos (90/30/30 pictures), 2 epochs; ")
    assert first.endswith("of memory; writes experiments/again")
