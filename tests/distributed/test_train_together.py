"""Two processes train one experiment, and score pictures, as one process would have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from together import Team, team_of

import iqa
from iqa.api.results import TrainingResult

#: A backbone with batch normalisation, and batches that two processes cannot halve.
CONFIG: dict[str, Any] = {
    "experiment_name": "together",
    "data": {"dataset": "photos", "train_samples": 93, "val_samples": 61, "test_samples": 40, "batch_size": 31,
             "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_efficientnet", "pretrained": False, "feature_dim": 32, "hidden_dim": 32,
              "n_clusters": 3, "mixture": {"dim": 4}},
    "training": {"epochs": 3, "device": "cpu", "precision": "float32", "learning_rate": 3e-4, "scheduler": "none"},
    "tracking": {"enabled": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> Iterator[Team]:
    with team_of(2) as team:
        yield team


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder: Path, cache: Path, settings: dict[str, Any], resume: bool = False) -> pd.DataFrame:
    """The history of a training in `folder`, with files in it alone."""
    os.chdir(folder)
    done = iqa.train(CONFIG, settings=settings | {"data.cache_dir": str(cache)}, resume=resume)
    assert isinstance(done, TrainingResult)
    return pd.DataFrame([record.to_dict() for record in done.history])


def furthest(one: pd.DataFrame, other: pd.DataFrame, *columns: str) -> float:
    """The largest difference in any epoch."""
    return float((one[[*columns]] - other[[*columns]]).abs().max().max())


def test_two_processes_have_the_curves_of_one_and_one_run(pair: Team, place: Path, shared_cache: Path) -> None:
    one = train(place, shared_cache, {"experiment_name": "one"})
    logged = {"experiment_name": "two", "tracking.enabled": True}
    for two in pair.do(train, place, shared_cache, logged):
        assert furthest(one, two, "train_loss", "val_loss") < 1e-4
        # Rounding, which grows from step to step, may let two of 61 pictures change places.
        assert furthest(one, two, "val_srcc", "val_plcc") < 2e-3
    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FINISHED"
    curve = client.get_metric_history(run.info.run_id, "epoch/val/srcc")
    assert [point.step for point in curve] == [1, 2, 3]


def test_the_same_weights_are_judged_the_same(pair: Team, place: Path, shared_cache: Path) -> None:
    still = {"training.learning_rate": 1e-12, "model.n_clusters": 0, "training.epochs": 1, "model.freeze_norm": True}
    one = train(place, shared_cache, still | {"experiment_name": "one"})
    two = pair.do(train, place, shared_cache, still | {"experiment_name": "two"})[1]
    measures = [name for name in one.columns if name.startswith("val_")]
    assert len(measures) >= 5
    assert furthest(one, two, *measures) < 1e-6


def test_what_two_have_begun_one_finishes(pair: Team, place: Path, shared_cache: Path) -> None:
    one = train(place, shared_cache, {"experiment_name": "one"})
    pair.do(train, place, shared_cache, {"experiment_name": "begun", "training.epochs": 1})
    begun = train(place, shared_cache, {"experiment_name": "begun"}, resume=True)
    assert list(begun["epoch"]) == [1, 2, 3]
    assert furthest(one, begun, "train_loss", "val_loss") < 1e-4


def test_part_of_a_backbone_is_trained_together_too(pair: Team, place: Path, shared_cache: Path) -> None:
    part = {"model.frozen_stages": 1, "model.mirror": True, "training.crop": 0.75, "training.epochs": 2}
    one = train(place, shared_cache, part | {"experiment_name": "one"})
    two = pair.do(train, place, shared_cache, part | {"experiment_name": "two"})[0]
    assert furthest(one, two, "train_loss", "val_loss") < 1e-4


def test_features_of_a_frozen_backbone_are_divided_and_are_the_same(pair: Team, place: Path) -> None:
    frozen = {"model.freeze_backbone": True, "training.epochs": 2}
    one = train(place, place / "one", frozen | {"experiment_name": "one"})
    first, second = pair.do(train, place, place / "two", frozen | {"experiment_name": "two"})
    pd.testing.assert_frame_equal(first.drop(columns=["seconds", "images_per_second"]), unclocked(one), rtol=1e-6)
    pd.testing.assert_frame_equal(unclocked(first), unclocked(second))
    files = [next((place / cache).glob("features-*/features.bin")) for cache in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()


def unclocked(history: pd.DataFrame) -> pd.DataFrame:
    return history.drop(columns=["seconds", "images_per_second"])


def test_several_splits_are_trained_together(pair: Team, place: Path, shared_cache: Path) -> None:
    one, two = pair.do(repeated, place, shared_cache)
    assert one == two
    assert len(one["splits"]) == 2


def repeated(folder: Path, cache: Path) -> dict[str, Any]:
    os.chdir(folder)
    settings = {"training.epochs": 1, "data.cache_dir": str(cache), "model.n_clusters": 0}
    done = iqa.train(CONFIG, settings=settings, repeats=2)
    return done.summary


def scored(folder: Path, output: str) -> pd.DataFrame:
    os.chdir(folder)
    return iqa.score("experiments/one", "pictures", output=output, settings={"tracking.enabled": False}).table


def test_scores_are_those_of_one_process_and_what_is_done_is_not_done_again(
    pair: Team, place: Path, shared_cache: Path
) -> None:
    train(place, shared_cache, {"experiment_name": "one", "training.epochs": 1})
    (place / "pictures").mkdir()
    random = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(random.integers(0, 255, (60, 60, 3), np.uint8)).save(place / "pictures" / f"{number}.png")
    (place / "pictures" / "torn.png").write_bytes(b"no picture")
    one = scored(place, "alone")
    for table in [*pair.do(scored, place, "both"), *pair.do(scored, place, "both")]:
        pd.testing.assert_frame_equal(table, one)
    assert one["error"].notna().sum() == 1
