"""Trainings that several speed scripts time: a frozen backbone on CIFAR-10, with what it needs of data and weights."""

from __future__ import annotations

import importlib.util
from itertools import islice

import torch

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config
from iqa.data.prepared import PixelStore
from iqa.device import choose_precision
from iqa.model.backbone.weights import PACKAGES
from iqa.records import EpochRecord
from iqa.training.build import build_feed, build_model, input_size, start_backbone
from iqa.training.feeds import Feed, PixelFeed
from iqa.training.loop import Trainer

from .timing import LeftOut, Options

BACKBONE = "tf_efficientnet_lite0"
#: Epochs that warm up: EM starts the mixture in the second.
WARM_UP = 2


def cifar10_here(options: Options) -> bool:
    """Whether CIFAR-10 can be read."""
    return options.cifar10.is_dir() and importlib.util.find_spec("datasets") is not None


def need_cifar10(options: Options) -> None:
    """Leave the measurement out where CIFAR-10 cannot be read.

    Raises:
        LeftOut: there is no CIFAR-10, or nothing to read it with.
    """
    if not cifar10_here(options):
        raise LeftOut(f"needs CIFAR-10 in {options.cifar10} and the package datasets")


def weights_here() -> bool:
    """Whether the package that carries the backbone's weights is installed."""
    return importlib.util.find_spec(PACKAGES[BACKBONE]) is not None


def weights_note() -> str:
    return "ImageNet weights" if weights_here() else "random weights"


def frozen_config(options: Options, train: int, val: int, side: int, clusters: int = 8) -> ExperimentConfig:
    """A frozen backbone on CIFAR-10, its caches in the scratch folder.

    Raises:
        LeftOut: there is no CIFAR-10.
    """
    need_cifar10(options)
    return build_config({
        "experiment_name": "speed_frozen",
        "data": {
            "dataset": "cifar10", "root": str(options.cifar10), "cache_dir": str(options.scratch / "cache"),
            "train_samples": train, "val_samples": val, "test_samples": 4, "image_size": side,
        },
        "model": {
            "backbone": BACKBONE, "freeze_backbone": True, "n_clusters": clusters, "pretrained": weights_here(),
        },
        # Never stopped: whoever trains asks for as many epochs as it times.
        "training": {"epochs": 10**6, "device": str(options.device)},
    })  # fmt: skip


def frozen_trainer(
    config: ExperimentConfig, store: PixelStore, device: torch.device, *, from_pixels: bool = False
) -> Trainer:
    """A trainer as `iqa train` builds it, or one whose network sees the pictures in every epoch."""
    side = input_size(config, store)
    model = build_model(config, start_backbone(config, side), side, device)
    if from_pixels:
        feed: Feed = PixelFeed(store, config.data.batch, device, flip=False)
    else:
        precision = choose_precision(config.training.precision, device)
        feed = build_feed(model, store, config, device, precision, progress=False)
    return Trainer(model, feed, config, device, progress=False)


def run_epochs(trainer: Trainer, count: int) -> list[EpochRecord]:
    """The next `count` epochs."""
    return list(islice(trainer.epochs(), count))
