"""What version 0.1 wrote is still of use: its configs are read, its models score as they did, its trainings go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from places import ROOT
from tiny_model import picture

import iqa
from iqa.config.reading import load_config
from iqa.files import read_json
from iqa.scoring import BOUNDS
from iqa.training.checkpoints import load_checkpoint

OLD = ROOT / "tests" / "version_0_1"


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """A folder that version 0.1 trained: a frozen test_convnext with two clusters and a running mean."""
    return Path(shutil.copytree(OLD / "experiment", tmp_path / "old"))


def test_its_configs_are_read() -> None:
    config = load_config(OLD / "biq2021_lite0.json")
    assert (config.experiment_name, config.model.pca_dim, config.data.dataset) == ("biq2021_lite0", 256, "biq2021")


def test_its_model_scores_as_it_did(experiment: Path) -> None:
    ours = iqa.load(experiment).score([picture(number) for number in range(5)])
    theirs = pd.read_csv(experiment / "scores_of_pictures.csv", dtype={"cluster": "Int64"})
    pd.testing.assert_frame_equal(ours[theirs.columns], theirs, check_exact=False, rtol=1e-4, atol=1e-5)
    assert ours[list(BOUNDS)].isna().all(axis=None), "it knows of no intervals"


def test_its_test_comes_out_the_same(experiment: Path) -> None:
    before = read_json(experiment / "visualizations" / "test_results.json")
    again = iqa.evaluate(experiment, skip_tsne=True).results
    assert again["metrics"]["srcc"]["value"] == pytest.approx(before["metrics"]["srcc"]["value"], abs=1e-6)


def test_its_training_goes_on(experiment: Path) -> None:
    before = load_checkpoint(experiment / "last_model.pth")
    done = iqa.train(experiment / "config.json", settings={"training.epochs": 5}, output=experiment.parent, resume=True)
    assert [record.epoch for record in done.history] == [1, 2, 3, 4, 5]
    assert done.history[2].to_dict() == before["history"][2]
    assert load_checkpoint(experiment / "last_model.pth")["format"] == 2
