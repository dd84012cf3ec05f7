"""Scores pictures with a trained model: `python pipelines/score_images.py --model M --input FOLDER|GLOB|TABLE`.

Writes a table with a row for each picture, a histogram, a contact sheet and a summary, and logs them to MLflow.
Stopped at any moment, the same command goes on; run again later, it scores what is new.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import run_command
from iqa.config_file import override_config, parse_overrides
from iqa.errors import Interrupted, IqaError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from iqa.config import ExperimentConfig
    from iqa.evaluation.plots_scores import Shown
    from iqa.scoring import Ensemble, Scorer
    from iqa.scoring.inputs import Inputs
    from iqa.scoring.journal import Journal
    from iqa.tracking import Tracker


@dataclass(frozen=True)
class Job:
    """One call: what is scored by what, and where the results go."""

    options: argparse.Namespace
    config: ExperimentConfig
    scorer: Scorer | Ensemble
    inputs: Inputs
    output: Path


def main(arguments: list[str]) -> None:
    options, overrides = read_arguments(arguments)
    # Read when torch is imported. Threads that decode share the processors with those that multiply, which would wait
    # for each other by spinning and starve them (5 images/s instead of 25 on a busy machine).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported late: --help must not wait for torch.
    import iqa
    from iqa.scoring.inputs import find_inputs
    from iqa.scoring.journal import Journal
    from iqa.scoring.results import finished

    inputs = find_inputs(options.input, column=options.column, root=options.root)
    scorer = iqa.load(options.model, options.device)
    config = override_config(scorer.config, overrides)
    output = Path(options.output or Path("scores") / f"{config.experiment_name}-{inputs.label}")
    job = Job(options, config, scorer, inputs, output)
    with Journal(output, model=scorer.digest, inputs=inputs) as journal:
        pending = journal.pending(inputs)
        summary = None if pending else finished(output, inputs, options.format)
        if summary is None:
            summary = score_and_log(job, journal, pending)
        else:
            print(f"nothing is new: {counted(summary['pictures'])} dealt with before")
    show(summary, output)


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Tracking can be set as in training, such as --tracking.enabled false.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model",
        default="experiments/quick_test",
        help="experiment or ensemble folder, checkpoint, runs:/<id>, models:/<name>/<version> (default: %(default)s)",
    )
    parser.add_argument("--input", default="", help="folder, glob, picture, or table with a column of picture names")
    parser.add_argument("--output", default="", help="folder of results (default: scores/<model>-<input>)")
    parser.add_argument("--format", default="csv", choices=("csv", "parquet"), help="of the table (default: csv)")
    parser.add_argument("--column", default="", help="of names in a table, by name or number (default: found)")
    parser.add_argument("--root", default="", help="folder that a table's names are relative to (default: its own)")
    parser.add_argument("--batch_size", default=32, type=int, help="squares in one batch (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    options, overrides = parser.parse_known_args(arguments)
    for key, _ in parse_overrides(overrides):
        if not key.startswith("tracking."):
            raise UserError("scoring has no such setting", got=f"--{key}", expected="those of --help, or --tracking.*")
    if options.batch_size < 1:
        raise UserError("--batch_size is no count", got=options.batch_size, expected="1 or more")
    return options, overrides


def score_and_log(job: Job, journal: Journal, pending: list[str]) -> dict[str, Any]:
    """Score what is pending, write the results and log them; one run for each folder of results."""
    from iqa.tracking import open_run, read_run_note

    names = dict.fromkeys(job.inputs.names)
    with open_run(
        job.config,
        role="score",
        name=f"{job.config.experiment_name}-score-{job.inputs.label}",
        run_id=read_run_note(job.output).get("run_id"),
        directory=job.output,
        tags={"checkpoint": job.scorer.digest, "score_name": job.scorer.score_name, "device": str(job.scorer.device)},
    ) as tracker:
        tracker.log_params(vars(job.options))
        start = time.monotonic()
        try:
            score(job, journal, pending)
        except KeyboardInterrupt:
            done = len(names) - len(journal.pending(job.inputs)) - len(job.inputs.faults)
            raise Interrupted(
                f"stopped; {done} of {len(names)} pictures are scored, and {job.output} holds what is needed to go on\n"
                "  continue: the same command"
            ) from None
        seconds = time.monotonic() - start
        speed = {"seconds": seconds, "images_per_second": len(pending) / seconds} if pending else {}
        return write_results(job, journal.table(job.inputs), speed, tracker)


def score(job: Job, journal: Journal, pending: list[str]) -> None:
    """Score pictures, each row on disk before the next ones are made; holds a few pictures at a time."""
    from tqdm import tqdm

    from iqa.scoring.journal import stamp

    asked: deque[tuple[str, str]] = deque()

    def paths() -> Iterator[Path]:
        for name in pending:
            path = job.inputs.path(name)
            asked.append((name, stamp(path)))
            yield path

    done = len(dict.fromkeys(job.inputs.names)) - len(pending)
    # tqdm takes None as "only in a terminal".
    with tqdm(total=done + len(pending), initial=done, desc="scoring", unit=" images", disable=None) as bar:
        for table in job.scorer.score_stream(paths(), on_error="row", batch_size=job.options.batch_size):
            journal.append([asked.popleft() for _ in range(len(table))], table)
            bar.update(len(table))


def write_results(job: Job, table: pd.DataFrame, speed: dict[str, Any], tracker: Tracker) -> dict[str, Any]:
    """Table, figures and, last, the summary that says they are complete."""
    from iqa.evaluation.plots_style import save
    from iqa.scoring.results import CONTACT_SHEET, HISTOGRAM, SUMMARY, summarise, write_summary, write_tables

    files = [write_tables(job.output, table, job.options.format)]
    summary = summarise(job.scorer, job.inputs, table) | speed
    if summary["scored"]:
        for name, figure in zip((HISTOGRAM, CONTACT_SHEET), draw(job, table), strict=True):
            save(figure, job.output / name)
            tracker.log_picture(job.output / name)
    write_summary(job.output, summary)
    tracker.log_metrics({key: summary[key] for key in ("pictures", "scored", "unreadable", *speed)})
    tracker.log_metrics({f"score_{key}": value for key, value in (summary["score"] or {}).items()})
    tracker.log_dataset(
        table[["image"]],
        name=job.inputs.label,
        context="scoring",
        digest=job.inputs.digest,
        source=str(job.inputs.root),
    )
    for file in (*files, job.output / SUMMARY):
        tracker.log_files(file)
    return summary


def draw(job: Job, table: pd.DataFrame) -> Iterator[Any]:
    """The histogram and the contact sheet."""
    from iqa.evaluation.evaluated import PSEUDO
    from iqa.evaluation.plots_scores import PSEUDO_CAVEAT, choose_ends, contact_sheet, score_histogram

    # A picture that a table repeats is drawn once.
    rows = [
        row for row in {name: row for row, name in enumerate(job.inputs.names)}.values() if table["error"][row] is None
    ]
    scores = table["score"].to_numpy()[rows]
    label: dict[str, Any] = {
        "score_name": job.scorer.score_name,
        "title": f"{counted(len(rows))} scored by {job.config.experiment_name}",
        "caveat": PSEUDO_CAVEAT if job.scorer.score_name == PSEUDO else None,
    }
    yield score_histogram(scores, **label)
    best, worst = (
        [shown(job, job.inputs.names[rows[place]], float(scores[place])) for place in end]
        for end in choose_ends(scores)
    )
    yield contact_sheet(best, worst, **label)


def shown(job: Job, name: str, score: float) -> Shown:
    """A picture read again, small; it may be gone by now."""
    import numpy as np

    from iqa.data.pictures import read_rgb
    from iqa.evaluation.plots_scores import THUMBNAIL, Shown

    try:
        picture = read_rgb(job.inputs.path(name))
    except ValueError:
        return Shown(None, name, score)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return Shown(np.asarray(picture), name, score)


def counted(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"


def show(summary: dict[str, Any], output: Path) -> None:
    """The outcome on the terminal, with where every file is.

    Raises:
        IqaError: no picture could be read.
    """
    from iqa.scoring.results import RESULTS

    if not summary["scored"]:
        raise IqaError(
            f"none of {counted(summary['pictures'])} could be read", fix=f"the table in {output} says why, each by name"
        )
    spread = summary["score"]
    print(
        f"{counted(summary['scored'])} scored, {summary['unreadable']} unreadable; predicted {summary['score_name']}: "
        f"mean {spread['mean']:.3f}, median {spread['median']:.3f}, {spread['min']:.3f} to {spread['max']:.3f}"
    )
    if "images_per_second" in summary:
        print(f"{summary['images_per_second']:.1f} images/s")
    print("files:")
    for name in RESULTS:
        if (output / name).is_file():
            print(f"  {output / name}")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
