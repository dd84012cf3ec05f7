"""`iqa.tune`: settings searched, confirmed and recommended."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.storages import BaseStorage

from iqa.api.calls import Terminal, as_found, places
from iqa.api.results import TuningResult
from iqa.api.trials import TrialReporter
from iqa.config import ExperimentConfig
from iqa.config.reading import read_config, with_settings
from iqa.errors import Interrupted
from iqa.estimate import about
from iqa.files import keep_aside, write_json, write_text
from iqa.forecast import FIGURES, forecast
from iqa.plots.several.tuning import recommendation
from iqa.plots.style import save_drawn_by
from iqa.progress import one_step
from iqa.tracking import Tracker, check_place, open_run, read_run_note
from iqa.tuning.findings import as_markdown, conclude, header, tuned_config
from iqa.tuning.pictures import draw_search
from iqa.tuning.planned import PlannedStudy, await_plan
from iqa.tuning.search import Search, as_rows
from iqa.tuning.space import read_space
from iqa.tuning.storage import open_storage, quietly
from iqa.tuning.workbench import Workbench
from iqa.tuning.workers import Workers

#: Bytes that a trial leaves in databases.
TRIAL = 30_000
#: Trials that the description of a study lists.
MOST_TRIALS = 10

log = logging.getLogger(__name__)


@as_found
def tune(
    config: str | Path | Mapping[str, Any] | ExperimentConfig,
    *,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
    storage: str = "sqlite:///optuna.db",
    study: str = "",
    workers: int = 1,
    output: str | Path = "experiments",
    tuned: str | Path = "configs/tuned",
    heartbeat: int = 20,
    verbose: bool = False,
) -> TuningResult:
    """Search settings, confirm what was found on other splits, and say what to set and how sure that is.

    Writes `output`/<study>-tuning/ and `tuned`/<study>.json. The same call goes on where a study stopped.

    Args:
        config: as `iqa.train` takes it; its section `tuning` says what is searched.
        settings: of the config, by their dotted names.
        trials: of the whole study; the config's if None.
        storage: sqlite:///FILE, postgresql://..., mysql://..., grpc://HOST:PORT or journal:///FILE; a path from the
            root has a fourth stroke.
        study: its name; the experiment's if none is given.
        workers: processes of this machine that share the trials.
        heartbeat: seconds between signs of life of a worker.
        verbose: print what the command prints.

    Raises:
        UserError: a space that cannot be searched, a storage that cannot be used, or another study of this name.
        IqaError: no trial was completed.
    """
    read = read_config(config, settings)
    if trials is not None:
        read = with_settings(read, {"tuning.trials": trials})
    name = study or read.experiment_name
    folder = Path(output) / f"{name}-tuning"
    read_space(read)
    check_place(read)
    with quietly(), ExitStack() as helpers:
        opened = open_storage(storage, heartbeat)
        helpers.enter_context(Workers(workers, read, folder, storage=storage, study=name, heartbeat=heartbeat))
        findings, link = run_study(read, opened, name, folder, helpers, Terminal(verbose))
        target = write_tuned(read, findings, Path(tuned) / f"{name}.json", "iqa.tune")
    return TuningResult(folder, findings, target, link)


def run_study(
    config: ExperimentConfig,
    storage: BaseStorage,
    name: str,
    folder: Path,
    helpers: ExitStack,
    terminal: Terminal,
    *,
    helps: bool = False,
) -> tuple[dict[str, Any], str | None]:
    """Search, confirm and recommend; all of it is told to MLflow and written to `folder`.

    Args:
        helpers: work along while trials are run; they are taken over, and have ended when this returns.
        helps: be one of another command's workers, and leave the writing to it.

    Returns:
        what recommendations.json holds, and the address of MLflow's table of runs.
    """
    if terminal.verbose and not helps:
        _announce(config, folder, terminal)
    bench = Workbench(config, progress=terminal.bars)
    if helps:
        await_plan(storage, name)
    reporter = TrialReporter(config, terminal)
    search = Search(config, bench, reporter, storage, name)
    study = search.planned
    if not helps:
        warn_of_sharing(study, storage)
    noted = None if study.is_new else study.attribute("mlflow_run", wait=10)
    # Whoever made the study may have been killed before it noted the run in it.
    here = None if study.is_new else read_run_note(folder).get("run_id")
    with open_run(
        config,
        role="tune",
        name=f"{name}-tuning",
        run_id=noted or here,
        directory=folder,
        tags={"study": name, "trials": config.tuning.trials},
    ) as tracker:
        if not noted:
            study.note("mlflow_run", tracker.run_id or "")
        if not helps:  # also of a study that goes on: its first process may have been killed before it told them
            tracker.log_config(config)
        search.plan()
        terminal.say(f"study {name}: {config.tuning.trials} trials over {', '.join(search.space)}")
        with closing(reporter), interruptible(study, config.tuning.trials):
            reporter.follow(tracker, study, config.tuning.trials)
            with helpers.pop_all():  # they end before the run does that they report to
                search.work()
                reporter.follow(tracker, None, 0)
                terminal.say(f"\nconfirming what was found on {config.tuning.confirmations} other splits")
                findings = conclude(search, bench, reporter, storage)
        if helps:
            return findings, tracker.link
        with one_step("writing findings", shown=terminal.bars):
            write_findings(search, findings, folder, tracker)
        tracker.describe(study_description(search, findings, folder, reporter, tracker))
        tracker.bury_dead()
    return findings, tracker.link


def _announce(config: ExperimentConfig, folder: Path, terminal: Terminal) -> None:
    """The first line; trials leave no checkpoints."""
    load = replace(forecast(config), files=2 * FIGURES + TRIAL * config.tuning.trials)
    trials = f"{config.tuning.trials} trials of up to {config.training.epochs} epochs"
    what = f"{trials}: {about(config)} on {config.data.dataset} ({load.pictures}), memory for each worker"
    terminal.begins("tune", what, load, places(config, folder, load))


@contextmanager
def interruptible(study: PlannedStudy, budget: int) -> Iterator[None]:
    """Turn Ctrl-C into word of how far the study is and how to go on.

    Raises:
        Interrupted: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        done = sum(trial.state.is_finished() for trial in study.trials())
        raise Interrupted(
            f"stopped; {done} of {budget} trials are done, and the trial in hand will be run again\n"
            "  continue: the same command"
        ) from None


def warn_of_sharing(study: PlannedStudy, storage: BaseStorage) -> None:
    """Say so where another command is at work on a study in SQLite."""
    if study.others_at_work() and "sqlite" in str(getattr(storage, "url", "")):
        log.warning(
            "warning: another process works on this study, and SQLite is not made for several: "
            "use --storage postgresql://..., mysql://..., grpc://HOST:PORT or journal:///FILE"
        )


def write_findings(search: Search, findings: dict[str, Any], folder: Path, tracker: Tracker) -> None:
    """recommendations.json, .md and .png, the figures of the search and a table of its trials."""
    write_json(folder / "recommendations.json", findings)
    text = as_markdown(findings)
    write_text(folder / "recommendations.md", text)
    rows = [{**row, **row.pop("values"), "curve": json.dumps(row["curve"])} for row in as_rows(search.planned.trials())]
    table = pd.DataFrame(rows).to_csv(index=False)
    write_text(folder / "trials.csv", table)
    save_drawn_by(
        lambda: recommendation(findings, caveat="validation pictures; the test pictures took no part"),
        folder / "recommendation.png",
    )
    draw_search(search, folder)
    for name in ("recommendations.json", "recommendations.md", "trials.csv"):
        tracker.log_files(folder / name)
    tracker.log_pictures(folder)
    trials = findings["trials"]
    tracker.log_metrics(
        {
            "study/baseline_val_srcc": findings["baseline"]["mean"],
            "study/tuned_val_srcc": findings["tuned"]["mean"],
            "study/tuned_minus_baseline": findings["difference"]["mean"],
            **{f"study/trials_{state}": float(count) for state, count in trials.items()},
            **{
                f"study/recommended_{key.partition('.')[2]}": float(value)
                for key, value in findings["values"].items()
                if isinstance(value, int | float)
            },
        }
    )


def study_description(
    search: Search, findings: dict[str, Any], folder: Path, reporter: TrialReporter, tracker: Tracker
) -> str:
    """The recommendation, its picture, and the best trials with links to their runs."""
    children = tracker.children_link()
    trials = f"[all of them]({children})" if children else "all of them are child runs"
    lines = [
        *(tracker.log_preview(folder / "recommendation.png"), "", as_markdown(findings)),
        *(f"## Best trials ({trials})", "", "| trial | validation SRCC | settings |", "| --- | --- | --- |"),
    ]
    for trial in search.completed()[:MOST_TRIALS]:
        name = f"trial {trial.number}"
        values = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in trial.params.items())
        page = reporter.pages.get(name)
        lines.append(f"| {f'[{name}]({page})' if page else name} | {trial.value or 0:.4f} | {values} |")
    return "\n".join(lines)


def write_tuned(config: ExperimentConfig, findings: dict[str, Any], target: Path, command: str) -> Path:
    """The recommended config, which `train` runs; another one of this name is kept aside."""
    values = tuned_config(config, findings, f"{findings['study']}_tuned")
    text = header(findings, command) + "\n" + json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if target.is_file() and target.read_text(encoding="utf-8") != text:
        log.warning("an earlier %s is kept as %s", target.name, keep_aside(target))
    write_text(target, text)
    return target
