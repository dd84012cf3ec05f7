"""Scores pictures with a trained model: `iqa score --model M --input FOLDER|GLOB|TABLE`.

Writes a table with a row for each picture, a histogram, a contact sheet and a summary, and logs them to MLflow.
Stopped at any moment, the same command goes on; run again later, it scores what is new.

With `--engine spark` a cluster reads and scores the pictures, on any file system that Spark knows, and writes parquet.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from iqa.commands.cli import NO_INTERVALS, NOT_CALIBRATED, add_processes, parser_for, show_link
from iqa.config.reading import parse_overrides
from iqa.distributed.group import is_first
from iqa.distributed.launch import run_in_processes, wanted_elsewhere
from iqa.errors import IqaError, UserError
from iqa.progress import tell

if TYPE_CHECKING:
    from iqa.api.results import ScoringResult
    from iqa.deploy.spark import SparkScores

#: Options that one engine alone has.
LOCAL, SPARK = ("batch_size", "device", "coverage", "processes"), ("master",)


def main(arguments: list[str]) -> None:
    options, overrides = read_arguments(arguments)
    settings = dict(parse_overrides(overrides))
    given = vars(options)
    if given.pop("engine") == "spark":
        on_spark(given, settings)
        return
    if wanted_elsewhere(processes := given.pop("processes")):
        run_in_processes(processes, "score", arguments)
        return
    # Imported late: --help must not wait for torch.
    from iqa.api.score import score

    done = score(given.pop("model"), given.pop("input"), **given, settings=settings, verbose=True)
    if is_first():
        show(done)


def on_spark(given: dict[str, Any], settings: dict[str, Any]) -> None:
    """The same by Spark: no figures, nothing in MLflow, and the table where Spark puts it."""
    from iqa.deploy.spark import score_on_spark

    model, pictures, output = given.pop("model"), given.pop("input"), given.pop("output")
    del given["format"]
    what = f"{pictures} by {model} on Spark, {given['master']}"
    tell(f"score: {what}; writes {output}", work="score", what=what, writes=[output])
    show_spark(score_on_spark(model, pictures, output, **given, settings=settings))


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for(
        "score",
        __doc__,
        "Tracking can be set as in training, such as --tracking.enabled false; Spark by its own names, such as "
        "--spark.executor.memory 4g.",
    )
    parser.add_argument(
        "--model",
        default="experiments/quick_test",
        help="experiment or ensemble folder, checkpoint, runs:/<id>, models:/<name>/<version> (default: %(default)s)",
    )
    parser.add_argument("--input", default="", help="folder, glob, picture, or table with a column of picture names")
    parser.add_argument("--output", default="", help="folder of results (default: scores/<model>-<input>)")
    parser.add_argument(
        "--format", default="csv", choices=("csv", "parquet"), help="of the table (default: csv; Spark: parquet)"
    )
    parser.add_argument("--column", default="", help="of names in a table, by name or number (default: found)")
    parser.add_argument("--root", default="", help="folder that a table's names are relative to (default: its own)")
    parser.add_argument("--batch_size", default=32, type=int, help="squares in one batch (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--coverage", default=0.9, type=float, help="of the intervals (default: %(default)s)")
    add_processes(parser)
    parser.add_argument("--engine", default="local", choices=("local", "spark"), help="(default: %(default)s)")
    parser.add_argument("--master", default="local[*]", help="of Spark, such as spark://host:7077 (default: local[*])")
    options, overrides = parser.parse_known_args(arguments)
    for name in LOCAL if options.engine == "spark" else SPARK:
        if getattr(options, name) != parser.get_default(name):
            raise UserError(f"--engine {options.engine} has no --{name}", got=getattr(options, name))
        delattr(options, name)
    return options, overrides


def show_spark(done: SparkScores) -> None:
    """The outcome on the terminal.

    Raises:
        IqaError: no picture could be read.
    """
    from iqa.api.score import counted

    summary, spread = done.summary, done.summary["score"]
    reasons = [f"{counted(count)}: {reason}" for reason, count in summary["reasons"].items()]
    if spread is None:
        raise IqaError(f"none of {counted(summary['pictures'])} could be read", got="; ".join(reasons) or None)
    print(
        f"{counted(summary['scored'])} scored, {summary['unreadable']} unreadable; mean {spread['mean']:.3f}, "
        f"median {spread['median']:.3f}, {spread['min']:.3f} to {spread['max']:.3f}"
    )
    for reason in reasons:
        print(f"  unreadable, {reason}")
    print(f"{summary['pictures'] / summary['seconds']:.1f} images/s, Spark's start counted")
    print(f"files:\n  {done.place}")


def show(done: ScoringResult) -> None:
    """The outcome on the terminal, with where every file is.

    Raises:
        IqaError: no picture could be read.
    """
    from iqa.api.score import counted
    from iqa.scoring import UNUSUAL
    from iqa.scoring.results import RESULTS

    summary, output = done.summary, done.folder
    if not summary["scored"]:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in summary.get("reasons", {}).items())
        raise IqaError(
            f"none of {counted(summary['pictures'])} could be read",
            got=reasons or None,
            fix=f"the table in {output} says why, each by name",
        )
    spread = summary["score"]
    print(
        f"{counted(summary['scored'])} scored, {summary['unreadable']} unreadable; predicted {summary['score_name']}: "
        f"mean {spread['mean']:.3f}, median {spread['median']:.3f}, {spread['min']:.3f} to {spread['max']:.3f}"
    )
    for reason, count in summary.get("reasons", {}).items():
        print(f"  unreadable, {counted(count)}: {reason}")
    if summary.get("left_out"):
        print("not taken: " + ", ".join(f"{count} {kind}" for kind, count in summary["left_out"].items()))
    if summary.get("several_frames"):
        print(f"of {counted(summary['several_frames'])} with several frames or pages the first is scored")
    if summary.get("unusual"):
        print(
            f"{counted(summary['unusual'])} of {summary['scored']} look unlike those that the model was calibrated on "
            f"(typicality below {UNUSUAL:g}, as {UNUSUAL:.0%} of like ones are): trust their scores less"
        )
    for note in summary.get("no_intervals", []):
        print(NO_INTERVALS.format(note))
    for note in summary.get("not_calibrated", []):
        print(NOT_CALIBRATED.format(note))
    if "images_per_second" in summary:
        print(f"{summary['images_per_second']:.1f} images/s")
    print("files:")
    for name in RESULTS:
        if (output / name).is_file():
            print(f"  {output / name}")
    show_link(done.link)
