"""How do cost and memory grow with pictures, clusters and batch size?

    python benchmarks/speed_growth.py [--quick]        # 9 minutes on two cores

Pictures: for each number of training pictures of CIFAR-10, and a tenth as many to validate, a process of its own
prepares them into an empty cache (distortion and pseudo-MOS), has a frozen network look at them at 32 px, and trains
a head on its features. Per picture, preparing and an epoch should cost the most pictures no more than the fewest, and
peak memory should grow by the same for each. Contents are drawn again where there are fewer than pictures: CIFAR-10's
50,000 are split 45,000 to 5,000.

Clusters: an epoch from features with K clusters / with one. Batch size: pictures per second of the bare step of a
small network at 64 px / with batches of 128.

Contenders take turns; figures are medians with 95 % intervals over rounds, over at most three for pictures.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from helpers.bare import Bare, Repeated, Way, times
from helpers.timing import Options, Row, Timing, in_turns
from helpers.trainings import BACKBONE, WARM_UP, frozen_config, frozen_trainer, need_cifar10, run_epochs

from iqa.commands.cli import run_command
from iqa.config.reading import build_config
from iqa.data.prepared import prepare
from iqa.device import choose_precision
from iqa.training.build import build_model, start_backbone

SIDE = 32
#: Epochs whose median counts, after those that warm up.
EPOCHS = 3
#: Rounds of the pictures' part at most: the largest takes minutes.
ROUNDS = 3
PICTURES, QUICK_PICTURES = (2_000, 10_000, 50_000), (200, 400)
CLUSTERS, QUICK_CLUSTERS = (1, 4, 8, 16, 32), (1, 8)
BATCHES, QUICK_BATCHES, USUAL = (16, 64, 128, 512), (16, 128), 128
#: A process that measures one number of pictures.
ALONE = "import sys, speed_growth; speed_growth.alone(sys.argv[1:])"
SMALL_NETWORK, SMALL_SIDE = "resnet18", 64


@dataclass(frozen=True)
class Cost:
    """What a number of pictures cost one process: seconds, and bytes at its peak.

    Attributes:
        pictures: prepared, of all splits.
        trained: in an epoch, which leaves a ragged last batch out.
        preparing: all pictures.
        looking: the network, at all pictures.
        starting: the epoch in which EM starts the mixture.
        epoch: one that trains and validates.
    """

    pictures: int
    trained: int
    preparing: float
    looking: float
    starting: float
    epoch: float
    peak: int


def measure(options: Options) -> list[Row]:
    need_cifar10(options)
    return [*pictures_rows(options), *clusters_rows(options), *batch_rows(options)]


def pictures_rows(options: Options) -> list[Row]:
    """The most pictures against the fewest, round by round."""
    counts = QUICK_PICTURES if options.quick else PICTURES
    costs: dict[int, list[Cost]] = {count: [] for count in counts}
    for _ in range(min(ROUNDS, options.rounds)):
        for count in counts:
            costs[count].append(cost_of(options, count))
    preparing = {count: Timing(tuple(c.preparing / c.pictures for c in found)) for count, found in costs.items()}
    training = {count: Timing(tuple(c.epoch / c.trained for c in found)) for count, found in costs.items()}
    looking = {count: Timing(tuple(c.looking / c.pictures for c in found)) for count, found in costs.items()}
    starting = ", ".join(f"{named(count)} {found[0].starting:.2g} s" for count, found in costs.items())
    return [
        picture_row("preparing", preparing, "distortion and pseudo-MOS at 32 px"),
        picture_row("features", looking, f"{BACKBONE} at {SIDE} px, making the model included"),
        picture_row("an epoch from features", training, f"the epoch of EM: {starting}"),
        memory_row(costs),
    ]


def picture_row(what: str, cost: dict[int, Timing], note: str) -> Row:
    """Seconds per picture where there are most / where there are fewest."""
    fewest, most = min(cost), max(cost)
    each = ", ".join(f"{named(count)} {1e3 * timing.median:.3g} ms" for count, timing in cost.items())
    label = f"{what}, per picture: {named(most)} / {named(fewest)}"
    return Row(label, *cost[most].over(cost[fewest]), "", "about 1, or less", f"{each}; {note}")


def memory_row(costs: dict[int, list[Cost]]) -> Row:
    """The largest peak of all rounds, from the least to the largest, and what each further picture adds."""
    peaks = {count: [c.peak / 1e9 for c in found] for count, found in costs.items()}
    most = max(peaks)
    each = ", ".join(f"{named(count)} {max(found):.2f} GB" for count, found in peaks.items())
    further = ", ".join(
        f"{1e6 * (max(peaks[more]) - max(peaks[fewer])) / (more - fewer):.3g} kB up to {named(more)}"
        for fewer, more in pairwise(peaks)
    )
    note = f"{each}; each further picture: {further}"
    worst = max(peaks[most])
    return Row(f"peak memory of {named(most)} pictures", worst, min(peaks[most]), worst, "GB", "< 4", note)


def cost_of(options: Options, count: int) -> Cost:
    """Of so many training pictures in a process of its own, whose peak of memory is no one else's."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, str(count), str(options.device), str(options.data.resolve()), scratch],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def measure_cost(options: Options, count: int) -> Cost:
    """What `cost_of` asks for."""
    # A first handful opens the data set and imports what is imported late, whatever the count.
    prepare(frozen_config(options, 8, 4, SIDE).data, progress=False)
    config = frozen_config(options, count, max(4, count // 10), SIDE)
    marks = [time.perf_counter()]
    store = prepare(config.data, progress=False)
    marks.append(time.perf_counter())
    trainer = frozen_trainer(config, store, options.device)
    marks.append(time.perf_counter())
    *_, starting = run_epochs(trainer, WARM_UP)
    epochs = sorted(record.seconds for record in run_epochs(trainer, EPOCHS))
    preparing, looking = (after - before for before, after in pairwise(marks))
    trained = count - count % min(config.data.batch, count)
    return Cost(len(store), trained, preparing, looking, starting.seconds, epochs[EPOCHS // 2], peak_memory())


def peak_memory() -> int:
    """Bytes that this process held at most.

    Linux counts what the process that started it held into `ru_maxrss`, but not into the high-water mark of its
    own memory.
    """
    try:
        marks = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        marks = None
    if marks:
        return 1024 * int(marks[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def clusters_rows(options: Options) -> list[Row]:
    """Epochs from features with more and more clusters, in turns."""
    counts, (train, val) = (QUICK_CLUSTERS, (64, 32)) if options.quick else (CLUSTERS, (2000, 500))
    store = prepare(frozen_config(options, train, val, SIDE).data, progress=False)
    trainers = {}
    for count in counts:
        config = frozen_config(options, train, val, SIDE, count)
        trainers[count] = frozen_trainer(config, store, options.device)
        run_epochs(trainers[count], WARM_UP)
    works = {str(count): partial(run_epochs, trainer, EPOCHS) for count, trainer in trainers.items()}
    timed = in_turns(works, options.rounds, options.device, warm_up=0)
    rows = []
    for count in counts[1:]:
        dead = sum(bool(record.dead_components) for record in trainers[count].history[WARM_UP:])
        note = (
            f"{1e3 * timed[str(count)].median / EPOCHS:.3g} ms an epoch of {train} + {val} pictures, {BACKBONE} frozen"
        )
        note += f"; {dead} of {EPOCHS * options.rounds} with dead components" if dead else ""
        ratio = timed[str(count)].over(timed["1"])
        rows.append(Row(f"an epoch from features: {count} clusters / 1", *ratio, "", "", note))
    return rows


def batch_rows(options: Options) -> list[Row]:
    """Bare steps of a network that is trained, with smaller and larger batches, in turns."""
    config = build_config({
        "experiment_name": "speed_batches",
        "model": {"backbone": SMALL_NETWORK, "pretrained": False},
        "training": {"device": str(options.device)},
    })  # fmt: skip
    model = build_model(config, start_backbone(config, SMALL_SIDE), SMALL_SIDE, options.device)
    way = Way(torch.channels_last, choose_precision("auto", options.device))
    turns, random = {}, torch.Generator().manual_seed(0)
    for size in QUICK_BATCHES if options.quick else BATCHES:
        images = torch.randint(256, (size, 3, SIDE, SIDE), dtype=torch.uint8, generator=random)
        scores = torch.rand(size, generator=random)
        bare = Bare(config, images.to(options.device), scores.to(options.device))
        turns[size] = Repeated(bare.quality(model, way), options)
    timed = in_turns({str(size): turn for size, turn in turns.items()}, options.rounds, options.device, warm_up=0)
    each = {size: times(timed[str(size)], 1 / (size * turn.times)) for size, turn in turns.items()}
    return [
        Row(f"pictures per second: batches of {size} / of {USUAL}", *each[USUAL].over(timing), "", "",
            f"{1 / timing.median:.4g} pictures/s, bare step of {SMALL_NETWORK} at {SMALL_SIDE} px, {way}")
        for size, timing in each.items() if size != USUAL
    ]  # fmt: skip


def named(count: int) -> str:
    return f"{count:,}"


def alone(given: list[str]) -> None:
    """Print what a number of pictures costs this process, as JSON: given are count, device, data and scratch folder."""
    count, device, data, scratch = given
    options = Options(torch.device(device), 1, False, Path(data), Path(scratch))
    print(json.dumps(asdict(measure_cost(options, int(count)))))


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
