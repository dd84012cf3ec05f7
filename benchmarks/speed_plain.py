"""How much quicker is the project's training than the plain loop that one would write instead, and is it as good?

    python benchmarks/speed_plain.py [--quick]        # 26 minutes on two cores

The plain loop is helpers/plain_loop.py. Both learn from the same 32 px pictures and pseudo-MOS, CIFAR-10 or, where that
cannot be read, crops of Kodak's photographs; the plain loop reads them from PNG files. Both start from the same weights
of tf_efficientnet_lite0 and take as many epochs and steps with the same optimiser, learning rate, schedule, batch size
and loss. What differs is how it is done: pictures that stay in memory and are resized on the device to what suits them,
where the plain loop enlarges each to 224 px; bfloat16 and channels_last where the machine has them; features of a
frozen backbone computed once. Ours also pools every stage, its mixture goes on learning, and validation sees mirror
images too.

fine-tuned  at our own input side for such pictures (96 px) and at 128 px
frozen      from cached features; making them is told apart

Contenders take turns, seed by seed. An epoch is training, validation and what is saved, by the wall; ratios are over
all epochs but the first. SRCC is that of the epoch that validation chose, on the test pictures: the mean over seeds,
from the lowest to the highest.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers.plain_loop import Outcome, train_plain, write_pictures
from helpers.timing import LeftOut, Options, Row, Timing
from helpers.trainings import BACKBONE, cifar10_here, weights_here, weights_note

from iqa import metrics
from iqa.commands.cli import run_command
from iqa.config import ExperimentConfig
from iqa.config.reading import build_config, override_config
from iqa.data.prepared import prepare
from iqa.scoring import load_scorer
from iqa.training.build import input_size
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.session import Session

PICTURE_SIDE, LARGER = 32, 128
LEARNING_RATE = 1e-3
PLAIN = "plain"


@dataclass(frozen=True)
class Sizes:
    """Training, validation and test pictures, those of a step, epochs fine-tuned and frozen, seeds."""

    pictures: tuple[int, int, int]
    batch: int
    epochs: int
    frozen_epochs: int
    seeds: int


QUICK = Sizes((16, 8, 8), 8, 2, 3, 2)
CPU = Sizes((1000, 250, 500), 50, 3, 5, 3)
GPU = Sizes((2000, 500, 500), 100, 10, 10, 3)

Contender = Callable[[ExperimentConfig], Outcome]


def measure(options: Options) -> list[Row]:
    """Speed and SRCC of both, fine-tuned and frozen."""
    sizes = QUICK if options.quick else GPU if options.device.type == "cuda" else CPU
    config, folder = plain_config(options, sizes), options.scratch / "plain"
    store = prepare(config.data, progress=False)
    parts = write_pictures(store, folder / "png")
    usual = input_size(config, store)
    contenders: dict[str, Contender] = {
        PLAIN: lambda config: train_plain(config, parts, folder / "best.pth", options.device),
        ours(usual): lambda config: train_ours(config, folder),
    }
    larger = {ours(LARGER): lambda config: train_ours(at_side(config, LARGER), folder)}
    still = override_config(config, ["--model.freeze_backbone", "true", "--training.epochs", str(sizes.frozen_epochs)])
    about = f"{config.data.dataset}, {' / '.join(f'{count:,}' for count in sizes.pictures)} pictures, {weights_note()}"
    aim = ">= 10" if options.device.type == "cuda" else ">= 3"
    return [
        *rows("fine-tuned", in_seeds({**contenders, **larger}, config, sizes.seeds), aim, about),
        *rows("frozen", in_seeds(contenders, still, sizes.seeds), ">= 50", about),
    ]


def plain_config(options: Options, sizes: Sizes) -> ExperimentConfig:
    """What both train, fine-tuned.

    Raises:
        LeftOut: no pictures.
    """
    kodak = options.data / "kodak24"
    if cifar10_here(options):
        pictures: dict[str, Any] = {"dataset": "cifar10", "root": str(options.cifar10)}
    elif kodak.is_dir():
        pictures = {"dataset": "folder", "root": str(kodak), "picture_size": PICTURE_SIDE}
    else:
        raise LeftOut(f"needs CIFAR-10 and the package datasets, or kodak24/, in {options.data}")
    train, val, test = sizes.pictures
    return build_config({
        "experiment_name": "speed_plain",
        "data": {
            **pictures, "cache_dir": str(options.scratch / "plain" / "cache"), "batch_size": sizes.batch,
            "train_samples": train, "val_samples": val, "test_samples": test,
        },
        "model": {"backbone": BACKBONE, "pretrained": weights_here()},
        "training": {
            "epochs": sizes.epochs, "learning_rate": LEARNING_RATE, "scheduler": "one_cycle",
            "device": str(options.device),
        },
    })  # fmt: skip


def ours(side: int) -> str:
    return f"ours at {side} px"


def at_side(config: ExperimentConfig, side: int) -> ExperimentConfig:
    return override_config(config, ["--data.image_size", str(side)])


def in_seeds(contenders: dict[str, Contender], config: ExperimentConfig, seeds: int) -> dict[str, list[Outcome]]:
    """Every contender's trainings from the seeds 0, 1, ..., in turns."""
    found: dict[str, list[Outcome]] = {name: [] for name in contenders}
    for seed in range(seeds):
        seeded = override_config(config, ["--training.seed", str(seed)])
        for name, train in contenders.items():
            found[name].append(train(seeded))
    return found


def train_ours(config: ExperimentConfig, folder: Path) -> Outcome:
    """A training as `iqa train` runs it, without MLflow, and its best model on the test pictures."""
    began = time.perf_counter()
    session = Session(config, ExperimentFolder(tempfile.mkdtemp(dir=folder)), progress=False)
    with session.claimed():
        marks = [time.perf_counter()]
        marks += [time.perf_counter() for _ in session.run()]
    predicted = load_scorer(session.folder.best, config.training.device).predict(session.store, "test", progress=False)
    true = session.store.scores[session.store.indices("test")].numpy()
    seconds = tuple(float(spent) for spent in np.diff(marks))
    return Outcome(seconds, metrics.srcc(predicted.score, true), before=marks[0] - began)


def rows(what: str, found: dict[str, list[Outcome]], aim: str, about: str) -> list[Row]:
    """Ratios to the plain loop, seconds of an epoch, SRCC."""
    epochs = {name: Timing(tuple(s for each in outcomes for s in each.seconds[1:])) for name, outcomes in found.items()}
    table = []
    for name, spent in epochs.items():
        if name != PLAIN:
            ratio = epochs[PLAIN].over(spent)
            table.append(Row(f"{what}: epoch, plain / {name}", *ratio, "times", aim, about))
            table.append(whole_row(what, name, found[PLAIN][0], found[name][0]))
    table += [Row(f"{what}: epoch, {name}", spent.median, *spent.interval(), "s") for name, spent in epochs.items()]
    reached = {name: np.array([outcome.test_srcc for outcome in outcomes]) for name, outcomes in found.items()}
    table += [srcc_row(f"{what}: test SRCC, {name}", values) for name, values in reached.items()]
    return table + [
        srcc_row(f"{what}: test SRCC, {name} - plain", values - reached[PLAIN])
        for name, values in reached.items()
        if name != PLAIN
    ]


def whole_row(what: str, name: str, plain: Outcome, other: Outcome) -> Row:
    """The first training of each from its start to its last epoch, so that what is made once counts."""
    ratio = (plain.before + sum(plain.seconds)) / (other.before + sum(other.seconds))
    note = f"{other.before:.1f} s before the first epoch"
    return Row(f"{what}: first training, plain / {name}", ratio, ratio, ratio, "times", "", note)


def srcc_row(what: str, by_seed: np.ndarray) -> Row:
    note = f"{len(by_seed)} seeds, mean ± {by_seed.std(ddof=1):.3f}"
    return Row(what, float(by_seed.mean()), float(by_seed.min()), float(by_seed.max()), "", "", note)


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
