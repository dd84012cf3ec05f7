"""`iqa.tune`: settings searched, confirmed and recommended."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.storages import BaseStorage

from iqa.api.calls import Terminal, as_found
from iqa.api.results import TuningResult
from iqa.api.trials import TrialReporter
from iqa.config import ExperimentConfig
from iqa.config.reading import read_config, with_settings
from iqa.errors import Interrupted
from iqa.files import keep_aside, write_json, write_text
from iqa.plots.style import save_drawn_by
from iqa.plots.tuning import recommendation
from iqa.tracking import Tracker, open_run
from iqa.tuning.findings import as_markdown, conclude, header, tuned_config
from iqa.tuning.pictures import draw_search
from iqa.tuning.planned import PlannedStudy, await_plan
from iqa.tuning.search import Search, as_rows
from iqa.tuning.space import read_space
from iqa.tuning.storage import open_storage, quietly
from iqa.tuning.workbench import Workbench
from iqa.tuning.workers import Workers

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
    with quietly(), ExitStack() as helpers:
        opened = open_storage(storage, heartbeat)
        helpers.enter_context(Workers(workers, read, folder, storage=storage, study=name, heartbeat=heartbeat))
        findings = run_study(read, opened, name, folder, helpers, Terminal(verbose))
        target = write_tuned(read, findings, Path(tuned) / f"{name}.json", "iqa.tune")
    return TuningResult(folder, findings, target)


def run_study(
    config: ExperimentConfig,
    storage: BaseStorage,
    name: str,
    folder: Path,
    helpers: ExitStack,
    terminal: Terminal,
    *,
    helps: bool = False,
) -> dict[str, Any]:
    """Search, confirm and recommend; all of it is told to MLflow and written to `folder`.

    Args:
        helpers: work along while trials are run; they are taken over, and have ended when this returns.
        helps: be one of another command's workers, and leave the writing to it.

    Returns:
        What recommendations.json holds.
    """
    bench = Workbench(config, progress=terminal.bars)
    if helps:
        await_plan(storage, name)
    reporter = TrialReporter(config, terminal)
    search = Search(config, bench, reporter, storage, name)
    study = search.planned
    if not helps:
        warn_of_sharing(study, storage)
    with open_run(
        config,
        role="tune",
        name=f"{name}-tuning",
        run_id=None if study.is_new else study.attribute("mlflow_run", wait=10),
        directory=folder,
        tags={"study": name, "trials": config.tuning.trials},
    ) as tracker:
        if study.is_new:
            study.note("mlflow_run", tracker.run_id or "")
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
            return findings
        write_findings(search, findings, folder, tracker)
        tracker.bury_dead()
    return findings


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
            "baseline_val_srcc": findings["baseline"]["mean"],
            "tuned_val_srcc": findings["tuned"]["mean"],
            "tuned_minus_baseline": findings["difference"]["mean"],
            **{f"trials_{state}": float(count) for state, count in trials.items()},
            **{
                f"recommended_{key.partition('.')[2]}": float(value)
                for key, value in findings["values"].items()
                if isinstance(value, int | float)
            },
        }
    )


def write_tuned(config: ExperimentConfig, findings: dict[str, Any], target: Path, command: str) -> Path:
    """The recommended config, which `train` runs; another one of this name is kept aside."""
    values = tuned_config(config, findings, f"{findings['study']}_tuned")
    text = header(findings, command) + "\n" + json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if target.is_file() and target.read_text(encoding="utf-8") != text:
        log.warning("an earlier %s is kept as %s", target.name, keep_aside(target))
    write_text(target, text)
    return target
