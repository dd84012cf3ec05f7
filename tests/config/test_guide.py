"""Configs that the guide's script wrote elsewhere run here, with one note on what became of their keys."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from iqa.config.guide import from_guide
from iqa.config.reading import load_config
from iqa.errors import UserError

WRITTEN: dict[str, Any] = {
    "experiment_name": "mine",
    "data": {"dataset": "cifar10", "train_samples": 200},
    "device": "cuda",
    "seed": 7,
    "loss_weights": {"quality_loss": 2.0, "cluster_loss": 0.3},
    "logging": {"save_dir": "experiments", "save_best": True, "save_last": True, "log_interval": 10},
    "visualization": {"plot_every": 5},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(WRITTEN | changes))
    return path


def test_every_key_of_the_guide_finds_its_place(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    assert config.training.device == "auto"  # its script falls back to the CPU too
    assert (config.training.seed, config.data.seed) == (7, 7)
    loss = config.training.loss
    assert (loss.smooth_l1, loss.correlation, loss.cluster_loss) == (2.0, 1.0, 0.3)


def test_one_note_names_every_key_and_shows_the_new_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config = load_config(written(tmp_path))
    (note,) = caplog.messages
    for key in (
        "device",
        "seed",
        "quality_loss",
        "cluster_loss",
        "save_dir",
        "save_best",
        "log_interval",
        "visualization",
    ):
        assert key in note
    shown = tmp_path / "shown.json"
    shown.write_text(note[note.index("\n{") :])
    caplog.clear()
    assert load_config(shown) == config
    assert not caplog.messages


def test_own_settings_come_before_the_guides(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, training={"seed": 3, "device": "cpu"}))
    assert (config.training.seed, config.data.seed, config.training.device) == (3, 7, "cpu")


def test_a_config_without_such_keys_is_left_alone() -> None:
    values = {"experiment_name": "mine", "training": {"seed": 3}}
    assert from_guide(values) == (values, "")


@pytest.mark.parametrize("key", ["loss_weights", "logging"])
def test_a_key_that_is_neither_is_still_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"{key}"):
        load_config(written(tmp_path, **{key: WRITTEN[key] | {"sharpness_loss": 1}}))


@pytest.mark.parametrize("key", ["device", "seed", "visualization", "loss_weights"])
def test_a_key_without_a_value_is_no_obstacle(tmp_path: Path, key: str) -> None:
    load_config(written(tmp_path, **{key: None}))
