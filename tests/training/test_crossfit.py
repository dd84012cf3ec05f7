"""Intervals of a training come from pictures that it neither learned from nor chose an epoch by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import picture

import iqa
from iqa.config.reading import build_config
from iqa.data.prepared import HELD, prepare
from iqa.training.frozen.crossfit import _folds

pytestmark = pytest.mark.usefixtures("one_thread")


def settings(cache: Path, **model: Any) -> dict[str, Any]:
    small = {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2,
             "mixture": {"dim": 2}}  # fmt: skip
    data = {"dataset": "photos", "train_samples": 90, "val_samples": 120, "test_samples": 60, "batch_size": 30,
            "num_workers": 0, "picture_size": 48, "image_size": 48, "cache_dir": str(cache)}  # fmt: skip
    return {
        "experiment_name": "tiny",
        "data": data,
        "model": small | model,
        "training": {"epochs": 2, "device": "cpu"},
        "tracking": {"enabled": False},
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_folds_are_whole_contents_and_leave_the_test_alone(cache: Path) -> None:
    store = prepare(build_config(settings(cache)).data)
    split = store.manifest["split"].to_numpy()
    asked = np.zeros(len(store), dtype=int)
    for fold in _folds(store):
        asked[fold.indices("val").numpy()] += 1
        contents = {name: set(part["content"]) for name, part in fold.manifest.groupby("split")}
        assert not contents["train"] & contents["val"]
        assert list(fold.indices("test")) == list(store.indices("test"))
    assert (asked == (split != "test")).all(), "each once"


def test_a_fold_of_a_single_picture_leaves_no_folds(cache: Path) -> None:
    store = prepare(build_config(settings(cache)).data)
    few = store.manifest.groupby("content", sort=False).head(1).head(8)
    assert list(_folds(replace(store, manifest=few.assign(split=["train"] * 6 + ["val"] * 2)))) == []


def test_half_of_the_validation_contents_can_be_set_aside(cache: Path) -> None:
    store = prepare(build_config(settings(cache)).data)
    held = store.holding_out(30)
    contents = {name: set(part["content"]) for name, part in held.manifest.groupby("split")}
    assert not contents["val"] & contents[HELD]
    assert len(held.indices("val")) + len(held.indices(HELD)) == len(store.indices("val"))
    assert min(len(held.indices("val")), len(held.indices(HELD))) >= 30
    assert not len(store.holding_out(100).indices(HELD)), "too few to be halved"


@pytest.mark.parametrize("frozen", [True, False])
def test_a_trained_model_scores_with_intervals(frozen: bool, cache: Path, tmp_path: Path) -> None:
    config = settings(cache, freeze_backbone=frozen)
    # Halves of at least fifty: three contents of a hundred pictures.
    config["data"]["val_samples"] = 300
    trained = iqa.train(config, output=tmp_path)
    found = torch.load(trained.folder / "best_model.pth", weights_only=False)["intervals"]
    assert found["note"] == ""
    assert len(found["ratios"][-1]) == (90 + 300 if frozen else pytest.approx(150, abs=60))
    wide, narrow = (iqa.load(trained.folder, "cpu", coverage=share) for share in (0.95, 0.5))
    pictures = [picture(number) for number in range(3)]
    first, second = wide.score(pictures), narrow.score(pictures)
    assert (first["high"] - first["low"] > second["high"] - second["low"]).all()
    assert first[["low", "calibrated_low"]].ge(0).all(axis=None)
    assert first[["high", "calibrated_high"]].le(1).all(axis=None)
    results = iqa.evaluate(trained, skip_tsne=True).results
    assert results["intervals"]["coverage"]["value"] > 0.6
    assert "intervals.png" in results["figures"]


def test_too_few_pictures_leave_scores_without_intervals_and_that_is_said(cache: Path, tmp_path: Path) -> None:
    config = settings(cache, freeze_backbone=False)
    trained = iqa.train(config, output=tmp_path)
    scorer = iqa.load(trained.folder, "cpu")
    (note,) = scorer.no_intervals
    assert "too few" in note
    assert scorer.score([picture(0)])["low"].isna().all()
    assert iqa.evaluate(trained, skip_tsne=True).results["no_intervals"] == [note]


def test_it_can_be_done_without(cache: Path, tmp_path: Path) -> None:
    config = settings(cache, freeze_backbone=True)
    config["training"]["intervals"] = False
    assert "without finding any" in iqa.load(iqa.train(config, output=tmp_path).folder, "cpu").no_intervals[0]
