"""Is an epoch from cached features of a frozen backbone really quicker than one from pixels, and by how much?

    python benchmarks/speed_frozen.py [--rounds 5] [--quick]        # about 5 minutes on two cores

The same `Trainer` with the same frozen network, head and mixture trains on CIFAR-10, from features that the network
computed once (`FeatureFeed`), all of them or their principal components, and from pictures that it sees anew in every
epoch (`PixelFeed`, not mirrored, so that both see the same). An epoch trains, validates and judges the mixture. The
first epoch, and the second, in which EM starts the mixture, warm up. Contenders take turns; figures are medians with
95 % intervals over rounds. Filling the cache is said apart, as it happens once per data set and network.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import sys
from functools import partial

from helpers.bare import times
from helpers.timing import Options, Row, in_turns, seconds_of
from helpers.trainings import BACKBONE, WARM_UP, frozen_config, frozen_trainer, run_epochs, weights_note

from iqa.commands.cli import run_command
from iqa.config.reading import override_config
from iqa.data.prepared import prepare

#: Pixels that the network sees: what the project takes for CIFAR-10, and what most would.
SIDES, QUICK_SIDES = (96, 224), (32,)
#: Principal components that the head sees; 0: all features.
COMPONENTS = (0, 256)
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
    rows = [Row(f"{side} px: epoch from pixels", slow.median, *slow.interval(), "s")]
    for name, spent in timed.items():
        quick = times(spent, 1 / EPOCHS)
        what = f"{side} px: epoch from {name}"
        rows.append(Row(what, quick.median, *quick.interval(), "s"))
        rows.append(Row(f"{side} px: pixels / {name}", *slow.over(quick), "times", ">= 100", note))
    return rows


def name_of(components: int) -> str:
    return f"{components} components" if components else "all features"


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
