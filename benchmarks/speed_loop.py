"""How far is the training loop from its limit, the bare step, and what does the mixture cost?

    python benchmarks/speed_loop.py --pictures 480        # four backbones: about 45 minutes on two cores
    python benchmarks/speed_loop.py --pictures 480 --backbones resnet18        # 8 minutes

Training at 224 px from random weights, for each backbone:

R_loop   bare cost of an epoch's pictures / wall seconds of that epoch in `Session.run` under a tracker. Bare is
         forward, loss, backward and optimiser step of the same model on one resident batch at its best of layout and
         precision, on a GPU also of torch.compile and CUDA graphs. The loop may lose what it does besides: picking and
         mirroring pictures, clipping, schedule, figures, the mixture's health, checkpoints, MLflow. It validates too:
             (trained * bare step + validated * bare forward, seconds per picture) / seconds of the epoch
         where a picture that validation sees mirrored as well counts twice. EM starts the mixture in epoch 2: two
         epochs warm up. A turn begins with telling MLflow of the epoch before, whose delivery then runs beside the
         training, as it does in a run.
R_model  speed of that bare step / of a bare step of the same backbone with timm's own pooling, one linear layer and
         mean squared error. Once more without a mixture, where stages are pooled all the same. What is to be
         seen is a few per cent: the bare contenders take several turns a round, in both orders.
R_roof   seconds of the bare step's multiplications, at the rate of a large matrix product in the same precision /
         seconds of the bare step.

Loop and bare contenders take turns; figures are medians with 95 % intervals over rounds.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from helpers.bare import SIDE, Bare, Repeated, product, short, times
from helpers.timing import Options, Row, Timing, in_turns, seconds_of
from helpers.trainings import WARM_UP, cifar10_here
from PIL import Image
from torch import Tensor

from iqa.commands.cli import run_command
from iqa.config.reading import build_config, override_config
from iqa.model.backbone.several import members
from iqa.model.quality import QualityModel
from iqa.records import EpochRecord
from iqa.tracking import Tracker, open_run
from iqa.training.build import build_model, start_backbone
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.session import Session

BACKBONES = "resnet18,resnet50,efficientnet_b0,vit_small_patch16_224"
#: Turns of the bare contenders after each of the loop.
PASSES = 4
#: Dense bfloat16 FLOP/s that makers name, by a part of the card's name; the first that fits.
CARDS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}


@dataclass(frozen=True)
class Sizes:
    """Pictures of an epoch and of a step, epochs of a turn, side of the square matrices."""

    train: int
    val: int
    batch: int
    epochs: int
    matrix: int


QUICK, CPU, GPU = Sizes(32, 16, 16, 1, 512), Sizes(192, 64, 32, 1, 2048), Sizes(2048, 512, 128, 4, 8192)


class Loop:
    """The training as a user runs it, epoch by epoch, past the one in which EM starts the mixture."""

    def __init__(self, session: Session, tracker: Tracker) -> None:
        self.session, self._tracker = session, tracker
        self._left, self.done = session.run(), list[EpochRecord]()
        self.run(WARM_UP)

    def run(self, epochs: int) -> None:
        """Each with the word to MLflow of the epoch before, and its checkpoint."""
        for _ in range(epochs):
            if self.done:
                self._tracker.log_epoch(self.done[-1])
            self.done.append(next(self._left))


def measure(options: Options, backbones: Sequence[str], pictures: int) -> list[Row]:
    """The rows of every backbone; epochs are of so many training pictures, few if 0."""
    sizes = QUICK if options.quick else GPU if options.device.type == "cuda" else CPU
    if pictures:
        sizes = replace(sizes, train=pictures, val=pictures // 4)
    return [row for name in backbones for row in measure_backbone(name, sizes, options)]


def measure_backbone(name: str, sizes: Sizes, options: Options) -> list[Row]:
    """One turn of the loop and some of every bare contender, round by round."""
    device = options.device
    with opened(name, sizes, options) as loop:
        session, model = loop.session, loop.session.model
        prepare = members(model.backbone)[0].prepare
        bare = Bare(session.config, *first_batch(session, sizes.batch))
        way, tried = bare.best_way(model)
        flops = bare.flops(model, way)
        works = {
            "step": bare.quality(model, way),
            "linear": bare.linear(prepare, way),
            "control": bare.quality(without_mixture(session), way),
            "forward": bare.forward(model, way),
            "prepare": lambda: prepare(bare.images, SIDE),
            "product": product(sizes.matrix, way.precision, device),
        }
        turns = {key: Repeated(work, options) for key, work in works.items()}
        took, rounds = list[float](), list[dict[str, Timing]]()
        for _ in range(options.rounds):
            took.append(seconds_of(lambda: loop.run(sizes.epochs), device))
            # The first step after the loop finds memory and caches as that left them, 5 % slower. It does not count.
            works["step"]()
            rounds.append(in_turns(turns, 1 if options.quick else PASSES, device, warm_up=0, and_back=True))
    each = {key: Timing(tuple(timed[key].mean / turn.times for timed in rounds)) for key, turn in turns.items()}
    facts = f"bare: {way}; batches of {sizes.batch}"
    return [
        loop_row(name, sizes, loop, Timing(tuple(took)), each, f"{facts}; {tried}"),
        model_row(name, "", each["linear"].over(each["step"]), facts),
        model_row(name, " without mixture", each["linear"].over(each["control"]), facts),
        roof_row(name, flops, 2 * sizes.matrix**3, each, device),
    ]


def loop_row(name: str, sizes: Sizes, loop: Loop, took: Timing, each: dict[str, Timing], facts: str) -> Row:
    trained = sizes.train // sizes.batch * sizes.batch
    seen = sizes.val * (2 if loop.session.model.mirror else 1)
    parts = zip(each["step"].seconds, each["forward"].seconds, strict=True)
    bare = Timing(tuple(sizes.epochs * (trained * step + seen * look) / sizes.batch for step, look in parts))
    value, low, high = bare.over(took)
    reseeded = sum(bool(record.dead_components) for record in loop.done[WARM_UP:])
    notes = [
        *(["WRONG: above 1.02"] if value > 1.02 else []),
        f"{facts}; the loop computes in {short(loop.session.trainer.precision)}",
        f"epochs of {trained} + {sizes.val} pictures of {took.median / sizes.epochs:.2f} s",
        f"resizing is {100 * each['prepare'].over(each['step'])[0]:.1f} % of a bare step",
        *([f"{reseeded} of them with dead components, which looks at all pictures again"] if reseeded else []),
        *([] if loop.session.config.tracking.enabled else ["mlflow is not here: no tracking"]),
        *([] if loop.session.config.data.dataset == "cifar10" else ["made-up pictures: no CIFAR-10"]),
    ]
    return Row(f"R_loop {name}", value, low, high, "", ">= 0.95", "; ".join(note for note in notes if note))


def model_row(name: str, kind: str, ratio: tuple[float, float, float], facts: str) -> Row:
    return Row(f"R_model {name}{kind}", *ratio, "", ">= 0.97", f"against one linear layer; {facts}")


def roof_row(name: str, flops: int, product_flops: int, each: dict[str, Timing], device: torch.device) -> Row:
    roof = times(each["product"], flops / product_flops)
    reached, peak = flops / each["step"].median, product_flops / each["product"].median
    note = f"{flops / 1e9:.0f} GFLOP a step at {reached / 1e12:.3g} of {peak / 1e12:.3g} TFLOP/s"
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for part, named in CARDS.items():
        if part in card:
            note += f"; {100 * reached / named:.1f} % of the card's {named / 1e12:.0f} in bfloat16"
            break
    return Row(f"R_roof {name}", *roof.over(each["step"]), "", "", note)


@contextmanager
def opened(name: str, sizes: Sizes, options: Options) -> Iterator[Loop]:
    """A training from random weights, tracked where mlflow is installed, its mixture started."""
    tracked = importlib.util.find_spec("mlflow") is not None
    real = {"dataset": "cifar10", "root": str(options.cifar10)}
    config = build_config({
        "experiment_name": f"speed_{name}",
        "data": {
            **(real if cifar10_here(options) else made_pictures(options.scratch / "made")),
            "train_samples": sizes.train, "val_samples": sizes.val, "test_samples": 4,
            "batch_size": sizes.batch, "picture_size": 32, "image_size": SIDE,
            "cache_dir": str(options.scratch / "cache"),
        },
        "model": {"backbone": name, "pretrained": False},
        "training": {"epochs": WARM_UP + sizes.epochs * options.rounds, "device": str(options.device)},
        "tracking": {"enabled": tracked, "uri": f"sqlite:///{options.scratch.resolve()}/mlflow.db"},
    })  # fmt: skip
    session = Session(config, ExperimentFolder(options.scratch / config.experiment_name), progress=False)
    with (
        session.claimed() as folder,
        open_run(config, role="train", name=config.experiment_name, directory=folder) as tracker,
    ):
        yield Loop(session, tracker)


def without_mixture(session: Session) -> QualityModel:
    config = override_config(session.config, ["--model.n_clusters", "0"])
    return build_model(config, start_backbone(config, session.image_size), session.image_size, session.device)


def first_batch(session: Session, size: int) -> tuple[Tensor, Tensor]:
    """Training pictures, uint8 [B, 3, S, S], and their scores [B], on the device."""
    store = session.store
    pictures = store.indices("train")[:size]
    rows, _ = store.squares(pictures)
    return store.images[rows].to(session.device), store.scores[pictures].to(session.device)


def made_pictures(folder: Path) -> dict[str, str]:
    """A folder of noise, for machines without CIFAR-10: how fast a step is does not depend on what it sees."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(40):
        pixels = np.random.default_rng(number).integers(256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return {"dataset": "folder", "root": str(folder)}


def main(arguments: list[str]) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--backbones", default=BACKBONES, help="joined by commas (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=0, help="of an epoch, 128 or more (default: few, by device)")
    given = parser.parse_args(arguments)
    if given.pictures and given.pictures < 128:
        parser.error(f"--pictures: got {given.pictures}, expected 128 or more, or 0")
    tell(lambda options: measure(options, given.backbones.split(","), given.pictures), given)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
