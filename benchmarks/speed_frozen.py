"""A frozen backbone: an epoch from cached features against one from pixels.

The same `Trainer` with the same frozen network, head and mixture trains on CIFAR-10, from features that the network
computed once (`FeatureFeed`), all of them or their principal components, and from pictures that it sees anew in every
epoch (`PixelFeed`, not mirrored, so that both see the same). An epoch trains, validates and judges the mixture. The
first epoch, and the second, in which EM starts the mixture, warm up; filling the cache is said apart, as it happens
once per data set and network.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from itertools import islice

import torch
from speed_bare import times
from speed_step import cifar10_here
from timing import LeftOut, Options, Row, in_turns, seconds_of

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config, override_config
from iqa.data.prepared import PixelStore, prepare
from iqa.device import choose_precision
from iqa.model.backbone.weights import PACKAGES
from iqa.records import EpochRecord
from iqa.training.build import build_feed, build_model, input_size, start_backbone
from iqa.training.feeds import Feed, PixelFeed
from iqa.training.loop import Trainer

BACKBONE = "tf_efficientnet_lite0"
#: Pixels that the network sees: what the project takes for CIFAR-10, and what most would.
SIDES, QUICK_SIDES = (96, 224), (32,)
#: Principal components that the head sees; 0: all features.
COMPONENTS = (0, 256)
WARM_UP = 2
#: Epochs of a turn from features: one alone is over in a moment.
EPOCHS = 10
#: Training and validation pictures.
FULL, QUICK = (2000, 500), (64, 32)


def measure(options: Options) -> list[Row]:
    """The ratios, and the epochs in seconds, at each side."""
    return [row for side in (QUICK_SIDES if options.quick else SIDES) for row in at_side(options, side)]


def at_side(options: Options, side: int) -> list[Row]:
    train, val = QUICK if options.quick else FULL
    device, config = options.device, frozen_config(options, train, val, side)
    store = prepare(config.data, progress=False)
    filling = seconds_of(lambda: frozen_trainer(config, store, device), device)
    pixels = frozen_trainer(config, store, device, from_pixels=True)
    features = {
        count: frozen_trainer(override_config(config, ["--model.pca_dim", str(count)]), store, device)
        for count in COMPONENTS
    }
    for trainer in (pixels, *features.values()):
        run_epochs(trainer, WARM_UP)
    works = {name_of(count): partial(run_epochs, trainer, EPOCHS) for count, trainer in features.items()}
    timed = in_turns({"pixels": partial(run_epochs, pixels, 1), **works}, options.rounds, device, warm_up=0)
    slow = timed.pop("pixels")
    note = f"{BACKBONE}, {weights_note()}, {train} + {val} pictures; features made once in {filling:.1f} s"
    rows = [Row("frozen", f"{side} px: epoch from pixels", slow.median, *slow.interval(), "s")]
    for name, spent in timed.items():
        quick = times(spent, 1 / EPOCHS)
        what = f"{side} px: epoch from {name}"
        rows.append(Row("frozen", what, quick.median, *quick.interval(), "s"))
        rows.append(Row("frozen", f"{side} px: pixels / {name}", *slow.over(quick), "times", ">= 100", note))
    return rows


def name_of(components: int) -> str:
    return f"{components} components" if components else "all features"


def frozen_config(options: Options, train: int, val: int, side: int, clusters: int = 8) -> ExperimentConfig:
    """A frozen backbone on CIFAR-10, its caches in the scratch folder.

    Raises:
        LeftOut: there is no CIFAR-10.
    """
    if not cifar10_here(options):
        raise LeftOut(f"needs CIFAR-10 in {options.cifar10} and the package datasets")
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


def weights_here() -> bool:
    """Whether the package that carries the backbone's weights is installed."""
    return importlib.util.find_spec(PACKAGES[BACKBONE]) is not None


def weights_note() -> str:
    return "ImageNet weights" if weights_here() else "random weights"


def frozen_trainer(
    config: ExperimentConfig, store: PixelStore, device: torch.device, *, from_pixels: bool = False
) -> Trainer:
    """A trainer as `train` builds it, or one whose network sees the pictures in every epoch."""
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
