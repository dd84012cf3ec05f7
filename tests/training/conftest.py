"""A training small enough to run many times: few, tiny pictures and a backbone of half a million weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config, override_config


@pytest.fixture
def tiny(shared_cache: Path):
    """Builds a tiny config; arguments are dotted settings, such as tiny(**{"model.n_clusters": 0})."""

    def build(**settings: Any) -> ExperimentConfig:
        config = build_config(
            {
                "experiment_name": "tiny",
                "data": {
                    "dataset": "photos",
                    "train_samples": 96,
                    "val_samples": 48,
                    "test_samples": 48,
                    "batch_size": 32,
                    "num_workers": 0,
                    "picture_size": 48,
                    "image_size": 48,
                    "cache_dir": str(shared_cache),
                },
                "model": {
                    "backbone": "test_resnet",
                    "pretrained": False,
                    "feature_dim": 32,
                    "hidden_dim": 32,
                    "n_clusters": 3,
                    "mixture": {"dim": 4},
                },
                "training": {"epochs": 4, "device": "cpu", "intervals": False, "scheduler": "cosine"},
                "tracking": {"enabled": False},
            }
        )
        return override_config(config, [f"--{key}={value}" for key, value in settings.items()])

    return build
