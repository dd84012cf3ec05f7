"""Is what is made by hand for speed worth its lines?

    python benchmarks/handmade.py [--quick]        # 8 minutes on two cores

Each of these stands in for what torch does by itself, and stays only where a whole job takes the plain version at least
1.15 times as long:

depthwise   depthwise convolutions that learn in float32 beside bfloat16 (`iqa.model.backbone.depthwise`): an epoch of
            fine-tuned tf_efficientnet_lite0
folding     BatchNorm folded into convolutions (`iqa.model.backbone.fused`): scoring photographs, by a frozen lite0
memory      freed memory that a process keeps, by glibc's thresholds (`iqa.deploy.server`, `iqa.commands.cli`): the same
            photographs, scored in a process of their own

Epochs are of CIFAR-10 as the standard configs prepare it, validation included. Both versions take turns in one process,
those of memory in two that wait for each other; a ratio is plain / by hand, its median over rounds with its 95 %
interval.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from helpers.timing import LeftOut, Options, Row, in_turns
from helpers.trainings import BACKBONE, WARM_UP, need_cifar10, run_epochs, weights_here

from iqa.commands.cli import run_command
from iqa.config.reading import build_config
from iqa.data.prepared import prepare
from iqa.deploy import server
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
#: A process that scores the photographs it is given as often as it is asked to.
SCORE = """
import sys
from pathlib import Path
from iqa.scoring.scorer import Scorer
checkpoint, device, *files = sys.argv[1:]
scorer, files = Scorer(Path(checkpoint), device), [Path(file) for file in files]
for _ in sys.stdin:
    scorer.score(files)
    print("done", flush=True)
"""


def measure(options: Options) -> list[Row]:
    train, val, count = QUICK if options.quick else (TRAIN, VAL, PHOTOGRAPHS)
    photographs = sorted((options.data / "biq2021").rglob("*.jpg"))[:count]
    if not photographs:
        raise LeftOut(f"needs the photographs of biq2021/ in {options.data}")
    depthwise = compare("depthwise", epochs(options, train, val), plain_depthwise, options)
    checkpoint = trained(options)
    return [
        depthwise,
        compare("folding", scoring(options, checkpoint, photographs), plain_norms, options),
        compare("memory", scoring_elsewhere(options, checkpoint, photographs), plain_memory, options),
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


def trained(options: Options) -> Path:
    """The checkpoint of a network that has seen a few pictures."""
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
    return folder.best


def scoring(options: Options, checkpoint: Path, files: list[Path]) -> Callable[[], Callable[[], Any]]:
    """Photographs scored from their files."""

    def start() -> Callable[[], Any]:
        scorer = scorers.Scorer(checkpoint, str(options.device))
        return lambda: scorer.score(files)

    return start


def scoring_elsewhere(options: Options, checkpoint: Path, files: list[Path]) -> Callable[[], Callable[[], Any]]:
    """The same by a process that was started as a server's are; it ends with this one, whose end closes its input."""

    def start() -> Callable[[], Any]:
        command = [sys.executable, "-c", SCORE, str(checkpoint), str(options.device), *map(str, files)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        process = subprocess.Popen(command, env=os.environ | server.MEMORY, **pipes)
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def ask() -> None:
            asked.write("\n")
            if told.readline().strip() != "done":
                raise RuntimeError("the process that scores has died")

        return ask

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


@contextmanager
def plain_memory() -> Iterator[None]:
    with patch.dict(server.MEMORY, clear=True):
        yield


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
