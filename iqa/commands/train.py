"""Trains one experiment: `iqa train --config C [--resume] [--repeats N] [--section.key value ...]`.

Writes experiments/<name>/ and one MLflow run. Any setting of the config can be overridden by its dotted name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iqa.commands.cli import add_flag, add_processes, parser_for, show_link
from iqa.config.reading import describe_config, load_config
from iqa.distributed.group import is_first
from iqa.distributed.launch import run_in_processes, wanted_elsewhere
from iqa.errors import UserError

if TYPE_CHECKING:
    from iqa.api.results import RepeatsResult, TrainingResult


def main(arguments: list[str]) -> None:
    parser = parser_for("train", __doc__, "Any setting can be given by its dotted name, such as --model.n_clusters 12.")
    parser.add_argument(
        "--config",
        default="configs/quick_test.json",
        help="JSON file, or the name of a standard experiment (default: %(default)s)",
    )
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    add_flag(parser, "--resume", "continue where an interrupted training of this name stopped")
    parser.add_argument("--repeats", type=int, default=1, help="train and test on so many splits (default: 1)")
    add_processes(parser)
    add_flag(parser, "--print_config", "show every setting with where it comes from, and train nothing")
    options, overrides = parser.parse_known_args(arguments)
    if options.print_config:
        print(describe_config(options.config, overrides))
        return
    config = load_config(options.config, overrides)
    if options.repeats < 1:
        raise UserError("--repeats counts splits", got=options.repeats, expected="1 or more")

    if wanted_elsewhere(options.processes):
        run_in_processes(options.processes, "train", arguments)
        return

    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.api.results import TrainingResult
    from iqa.api.train import train

    done = train(config, output=options.output, resume=options.resume, repeats=options.repeats, verbose=True)
    if not is_first():
        return
    if isinstance(done, TrainingResult):
        show(done)
    else:
        show_splits(done)


def show(done: TrainingResult) -> None:
    """The best epoch on the terminal, and what to do next."""
    best = done.best
    if best is not None:
        print(
            f"\nbest epoch {best.epoch}: validation SRCC {best.val_srcc or 0:.4f}, PLCC {best.val_plcc or 0:.4f} "
            f"against {done.score_name}\n"
            f"experiment folder: {done.folder}\n"
            f"judge it: iqa evaluate --experiment {done.folder}"
        )
    show_link(done.link)


def show_splits(done: RepeatsResult) -> None:
    """The outcome over all splits on the terminal."""
    summary = done.summary
    print(f"\n{len(summary['splits'])} splits: median, mean +- spread [least, greatest]")
    rows = [*summary["test"].items(), *((f"srcc {name}", part) for name, part in summary["by_subset"].items())]
    rows += [(f"interval {name}", part) for name, part in summary["intervals"].items()]
    for name, part in rows:
        print(
            f"  {name:<18} {part['median']:.4f}  {part['mean']:.4f} +- {part['std']:.4f}"
            f"  [{part['low']:.4f}, {part['high']:.4f}]"
        )
    show_link(done.link)
