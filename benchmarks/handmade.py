"""Is what is made by hand for speed worth its lines?

    python benchmarks/handmade.py [--quick]        # 3 minutes on two cores

Each of these stands in for what torch does by itself, and stays only where a whole job takes the plain version at least
1.15 times as long:

depthwise   depthwise convolutions that learn in float32 beside bfloat16 (`iqa.model.backbone.depthwise`): an epoch of
            fine-tuned tf_efficientnet_lite0
folding     BatchNorm folded into convolutions (`iqa.model.backbone.fused`): scoring photographs, by a frozen lite0

Epochs are of CIFAR-10 as the standard configs prepare it, validation included. Both versions take turns in one process;
a ratio is plain / by hand, its median over rounds with its 95 % interval.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from helpers.timing import LeftOut, Options, Row, in_turns
from helpers.trainings import BACKBONE, WARM_UP, need_cifar10, run_epochs, weights_here

from iqa.commands.cli import run_command
from iqa.config.reading import build_config
from iqa.data.prepared import prepare
from iqa.model.backbone import networks
from iqa.scoring import scorer as scorers
from iqa.training.build import build_model, input_size, start_backbone
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.feeds import PixelFeed
from iqa.training.loop import Trainer
from iqa.training.session import Session

#: Pictures of an epoch, and photographs that are scored.
TRAIN, VAL, PHOTOGRAPHS = 480, 120, 300
QUICK = 32, 16, 8


def measure(options: Options) -> list[Row]:
    train, val, photographs = QUICK if options.quick else (TRAIN, VAL, PHOTOGRAPHS)
    return [
        compare("depthwise", epochs(options, train, val), plain_depthwise, options),
        compare("folding", scoring(options, photographs), plain_norms, options),
    ]


def compare(name: str, job: Callable[[], Callable[[], Any]], plain: Callable[[], Any], options: Options) -> Row:
    """Both versions of a job, each set up and done under its own code, in turns."""

    def under(version: Callable[[], Any]) -> Callable[[], None]:
        with version():
            work = job()

        def turn() -> None:
            with version():
                work()

        return turn

    took = in_turns({"hand": under(by_hand), "plain": under(plain)}, options.rounds, options.device, and_back=True)
    note = f"{took['hand'].median:.2f} s by hand, {took['plain'].median:.2f} s plain"
    return Row(name, *took["plain"].over(took["hand"]), aim=">= 1.15", note=note)


def epochs(options: Options, train: int, val: int) -> Callable[[], Callable[[], Any]]:
    """An epoch of a fine-tuned backbone, past the one in which EM starts the mixture."""
    need_cifar10(options)
    config = build_config({
        "experiment_name": "handmade",
        "data": {
            "root": str(options.cifar10), "cache_dir": str(options.scratch / "cache"),
            "train_samples": train, "val_samples": val, "test_samples": 4,
        },
        "model": {"backbone": BACKBONE, "pretrained": False},
        "training": {"epochs": 10**6, "device": str(options.device)},
    })  # fmt: skip
    store = prepare(config.data, progress=False)
    side = input_size(config, store)

    def start() -> Callable[[], Any]:
        model = build_model(config, start_backbone(config, side), side, options.device)
        feed = PixelFeed(store, config.data.batch, options.device, flip=True)
        trainer = Trainer(model, feed, config, options.device, progress=False)
        run_epochs(trainer, WARM_UP)
        return lambda: run_epochs(trainer, 1)

    return start


def scoring(options: Options, count: int) -> Callable[[], Callable[[], Any]]:
    """`count` photographs scored from their files by a network that has seen a few pictures."""
    files = sorted((options.data / "biq2021").rglob("*.jpg"))[:count]
    if not files:
        raise LeftOut(f"needs the photographs of biq2021/ in {options.data}")
    config = build_config({
        "experiment_name": "handmade",
        "data": {
            "dataset": "folder", "root": str(options.data / "kodak24"), "cache_dir": str(options.scratch / "cache"),
            "picture_size": 512, "train_samples": 40, "val_samples": 24, "test_samples": 24,
        },
        "model": {"backbone": BACKBONE, "pretrained": weights_here(), "freeze_backbone": True},
        "training": {"epochs": 2, "device": str(options.device)},
    })  # fmt: skip
    folder = ExperimentFolder(options.scratch / "trained")
    session = Session(config, folder, progress=False)
    with session.claimed():
        for _ in session.run():
            pass

    def start() -> Callable[[], Any]:
        scorer = scorers.Scorer(folder.best, str(options.device))
        return lambda: scorer.score(files)

    return start


@contextmanager
def by_hand() -> Iterator[None]:
    yield


@contextmanager
def plain_depthwise() -> Iterator[None]:
    with patch.object(networks, "quicken", lambda net: None):
        yield


@contextmanager
def plain_norms() -> Iterator[None]:
    with patch.object(scorers, "folded", copy.copy):
        yield


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
