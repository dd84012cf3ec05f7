"""What pages tell their reader to do, in small, so that a test can follow them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from generators.commands import module_of

#: A config that is trained in a second.
TINY: dict[str, Any] = {
    "experiment_name": "quick_test",
    "data": {
        "dataset": "photos", "train_samples": 60, "val_samples": 30, "test_samples": 30, "batch_size": 30,
        "num_workers": 0, "picture_size": 48, "image_size": 48,
    },
    "model": {
        "backbone": "test_resnet", "pretrained": False, "freeze_backbone": True, "feature_dim": 16, "hidden_dim": 16,
        "n_clusters": 4, "mixture": {"dim": 2, "n_init": 1},
    },
    "training": {"epochs": 2, "device": "cpu"},
    "tuning": {"startup_trials": 2, "range_values": 3, "space": {"model.n_clusters": {"choices": [0, 4]}}},
}  # fmt: skip


@contextmanager
def reader(folder: Path) -> Iterator[None]:
    """Within it this process stands in a folder as a reader of the documentation does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        yield


def smaller(text: str, instead: Mapping[str, str]) -> str:
    """A text in which something smaller stands in place of what takes long."""
    for large, small in instead.items():
        text = text.replace(large, small)
    return text


def do(verb: str, arguments: Sequence[str]) -> None:
    """What `iqa VERB` does, in this process."""
    importlib.import_module(module_of(verb)).main(list(arguments))
