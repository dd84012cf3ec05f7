"""`iqa.score`: any pictures scored by a trained model, their table, figures and summary written and logged."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iqa.api.calls import Terminal, as_found, logged_here, places
from iqa.api.results import ScoringResult
from iqa.config import ExperimentConfig
from iqa.config.reading import with_settings
from iqa.data.store.pictures import read_rgb
from iqa.deploy.loading import load
from iqa.distributed.group import after_first, is_first, joined, of_all, of_first, rank, same, world_size
from iqa.errors import Interrupted, UserError
from iqa.estimate import about, in_turn, scoring
from iqa.evaluation.evaluated import PSEUDO
from iqa.plots.scores import PSEUDO_CAVEAT, THUMBNAIL, Shown, choose_ends, contact_sheet, score_histogram
from iqa.plots.style import save_drawn_by
from iqa.progress import one_step, progress_bar
from iqa.scoring import COVERAGE, Ensemble, PictureScorer
from iqa.scoring.inputs import Inputs, find_inputs
from iqa.scoring.journal import Journal, free_folder, stamp
from iqa.scoring.results import (
    CONTACT_SHEET,
    HISTOGRAM,
    SUMMARY,
    Format,
    finished,
    summarise,
    write_summary,
    write_tables,
)
from iqa.tracking import Tracker, check_place, open_run, read_run_note

#: (name, stamp) of some pictures, and the table of their scores.
Rows = tuple[list[tuple[str, str]], pd.DataFrame]


@dataclass(frozen=True)
class Job:
    """One call: what is scored by what, and where the results go."""

    options: Mapping[str, Any]
    config: ExperimentConfig
    scorer: PictureScorer | Ensemble
    inputs: Inputs
    output: Path
    format: Format
    batch_size: int
    terminal: Terminal


@as_found
def score(
    model: str | Path,
    pictures: str | Path,
    *,
    output: str | Path = "",
    format: Format = "csv",
    column: str = "",
    root: str | Path = "",
    batch_size: int = 32,
    device: str = "auto",
    coverage: float = COVERAGE,
    settings: Mapping[str, Any] | None = None,
    verbose: bool = False,
) -> ScoringResult:
    """Score a folder, a glob, a picture or the pictures of a table.

    Writes a table with a row for each picture, a histogram, a contact sheet and a summary, and logs them to MLflow.
    Stopped at any moment, the same call goes on; called again later, it scores what is new. In each of several
    processes that torchrun has started, the same call divides the pictures among them; the first one writes.

    Args:
        model: as `iqa.load` takes it.
        pictures: folder, glob, picture, or table with a column of picture names.
        output: folder of results; if none is given scores/<model>-<pictures>, or -2, -3, ... where another folder of
            this name was scored before.
        format: of the table: csv or parquet.
        column: of names in a table, by name or number; found if none is given.
        root: folder that a table's names are relative to; its own if none is given.
        batch_size: squares that the model sees at once.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        coverage: share of pictures whose score by people is to lie between `low` and `high`.
        settings: of tracking, by dotted names: {"tracking.enabled": False}.
        verbose: print what the command prints.

    Raises:
        UserError: no such model or pictures, or the folder of results belongs to others.
    """
    options: dict[str, Any] = {"model": model, "input": pictures, "output": output, "format": format}
    for key in settings or {}:
        if not key.startswith("tracking."):
            raise UserError("scoring has no such setting", got=f"--{key}", expected="those of --help, or --tracking.*")
    if batch_size < 1:
        raise UserError("--batch_size is no count", got=batch_size, expected="1 or more")
    options |= {"column": column, "root": root, "batch_size": batch_size, "device": device, "coverage": coverage}
    with joined():
        inputs = of_first(lambda: find_inputs(str(pictures), column=column, root=str(root)))
        scorer = after_first(lambda: load(model, device, coverage))
        config = with_settings(scorer.config, settings)
        usual = Path("scores") / f"{config.experiment_name}-{inputs.label}"
        folder = Path(output) if output else free_folder(usual, inputs.root)
        job = Job(options, config, scorer, inputs, folder, format, batch_size, Terminal(verbose))
        # The others get the first one's result, once they have helped.
        return same(_score_new(job) if is_first() else _help_out(job))


def _score_new(job: Job) -> ScoringResult:
    """Score what the folder of results lacks."""
    check_place(job.config)
    with Journal(job.output, model=job.scorer.digest, coverage=job.scorer.coverage, inputs=job.inputs) as journal:
        pending = same(journal.pending(job.inputs))
        if job.terminal.verbose:
            _announce(job, len(pending))
        summary, link = None if pending else finished(job.output, job.inputs, job.format), None
        if summary is None:
            summary, link = _score_and_log(job, journal, pending)
        else:
            job.terminal.say(f"nothing is new: {counted(summary['pictures'])} dealt with before")
        return ScoringResult(job.output, summary, journal.table(job.inputs), link)


def _help_out(job: Job) -> Any:
    """What another process than the first does: score its share of what is pending there."""
    for _ in _scored(job, same([])):
        pass


def _announce(job: Job, pending: int) -> None:
    """The first line; what was scored before takes nothing."""
    models = job.scorer.members if isinstance(job.scorer, Ensemble) else [job.scorer]
    load = in_turn(
        scoring(
            each.passing,
            pending,
            batch_size=job.batch_size,
            on_gpu=str(each.device).startswith("cuda"),
            logged_here=logged_here(job.config),
        )
        for each in models
    )
    new = "" if pending == len(job.inputs.names) else f"{pending} new of "
    model = " and ".join(about(each.config) for each in models)
    what = f"{new}{counted(len(job.inputs.names))} of {job.inputs.root} by {job.options['model']}: {model}"
    job.terminal.begins("score", what, load, places(job.config, job.output))


def counted(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"


def _score_and_log(job: Job, journal: Journal, pending: list[str]) -> tuple[dict[str, Any], str | None]:
    """Score what is pending, write the results and log them; one run for each folder of results.

    Returns:
        the summary, and the address of MLflow's table of runs.
    """
    names = dict.fromkeys(job.inputs.names)
    with open_run(
        job.config,
        role="score",
        name=f"{job.config.experiment_name}-score-{job.inputs.label}",
        run_id=read_run_note(job.output).get("run_id"),
        directory=job.output,
        tags={"checkpoint": job.scorer.digest, "score_name": job.scorer.score_name, "device": str(job.scorer.device)},
    ) as tracker:
        tracker.log_params(job.options)
        start = time.monotonic()
        try:
            _score(job, journal, pending)
        except KeyboardInterrupt:
            done = len(names) - len(journal.pending(job.inputs)) - len(job.inputs.faults)
            raise Interrupted(
                f"stopped; {done} of {len(names)} pictures are scored, and {job.output} holds what is needed to go on\n"
                "  continue: the same command"
            ) from None
        seconds = time.monotonic() - start
        speed = {"seconds": seconds, "images_per_second": len(pending) / seconds} if pending else {}
        with one_step("writing results", shown=job.terminal.bars):
            return _write_results(job, journal.table(job.inputs), speed, tracker), tracker.link


def _score(job: Job, journal: Journal, pending: list[str]) -> None:
    """Score pictures, each row on disk before the next ones are made; holds a few pictures at a time."""
    done = len(dict.fromkeys(job.inputs.names)) - len(pending)
    shown = job.terminal.bars
    with progress_bar(total=done + len(pending), initial=done, desc="scoring", unit="images", shown=shown) as bar:
        for names, table in _scored(job, pending):
            journal.append(names, table)
            bar.update(len(table))


def _scored(job: Job, pending: list[str]) -> Iterator[Rows]:
    """Rows of pictures as they come, from every process that has a share of them; all processes must ask for them."""
    if not pending:
        return
    own: Iterator[Rows | None] = _own(job, pending[rank() :: world_size()])
    while any(parts := of_all(next(own, None))):
        yield from (part for part in parts if part)


def _own(job: Job, names: list[str]) -> Iterator[Rows]:
    """Rows of this process's share of the pictures."""
    asked: deque[tuple[str, str]] = deque()

    def paths() -> Iterator[Path]:
        for name in names:
            path = job.inputs.path(name)
            asked.append((name, stamp(path)))
            yield path

    for table in job.scorer.score_stream(paths(), on_error="row", batch_size=job.batch_size):
        yield [asked.popleft() for _ in range(len(table))], table


def _write_results(job: Job, table: pd.DataFrame, speed: dict[str, Any], tracker: Tracker) -> dict[str, Any]:
    """Table, figures and, last, the summary that says they are complete."""
    files = [write_tables(job.output, table, job.format)]
    summary = summarise(job.scorer, job.inputs, table) | speed
    drawings = _drawings(job, table) if summary["scored"] else {}
    summary["figures"] = [name for name, draw in drawings.items() if save_drawn_by(draw, job.output / name)]
    for name in summary["figures"]:
        tracker.log_picture(job.output / name)
    write_summary(job.output, summary)
    counts = {f"score_{key}": summary[key] for key in ("pictures", "scored", "unreadable")}
    spread = {f"score_{key}": value for key, value in (summary["score"] or {}).items()}
    tracker.log_metrics(counts | spread | speed)
    pictures = [tracker.log_preview(job.output / name) for name in summary["figures"]]
    told = f"**{counted(summary['scored'])} of {job.inputs.root} scored**, {summary['unreadable']} unreadable"
    tracker.describe("\n\n".join([told, *pictures]))
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


def _drawings(job: Job, table: pd.DataFrame) -> dict[str, Callable[[], Figure]]:
    """How to draw the histogram and the contact sheet."""
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

    def sheet() -> Figure:
        best, worst = (
            [_shown(job, job.inputs.names[rows[place]], float(scores[place])) for place in end]
            for end in choose_ends(scores)
        )
        return contact_sheet(best, worst, **label)

    return {HISTOGRAM: lambda: score_histogram(scores, **label), CONTACT_SHEET: sheet}


def _shown(job: Job, name: str, score: float) -> Shown:
    """A picture read again, small; it may be gone by now."""
    try:
        picture = read_rgb(job.inputs.path(name))
    except ValueError:
        return Shown(None, name, score)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return Shown(np.asarray(picture), name, score)
