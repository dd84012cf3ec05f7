"""Searches settings and says what to set: `python pipelines/tune_optuna.py --config C [--trials N] [--storage URL]`.

The same command on several machines with a shared --storage shares the trials; the same command again goes on where
a study stopped. Writes EXPERIMENTS/<study>-tuning/ and configs/tuned/<study>.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import run_command
from iqa.config_file import load_config, override_config
from iqa.errors import Interrupted, UserError
from pipelines.crew import Crew, share_processor
from pipelines.teller import Teller

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.tracking import Tracker
    from iqa.tuning.planned import PlannedStudy
    from iqa.tuning.search import Search


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Any setting can be given by its dotted name, such as --tuning.confirmations 5.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", default="configs/quick_test.json", help="JSON file (default: %(default)s)")
    parser.add_argument("--trials", type=int, help="trials of the whole study (default: the config's tuning.trials)")
    parser.add_argument("--storage", default="sqlite:///optuna.db", help="where the study is (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes of this machine that share the trials; one per core pays where the backbone is frozen "
        "(default: %(default)s)",
    )
    parser.add_argument("--helper", action="store_true", help=argparse.SUPPRESS)  # one of another command's workers
    parser.add_argument("--study", default="", help="its name (default: the config's experiment_name)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    parser.add_argument("--tuned", default="configs/tuned", help="folder of tuned configs (default: %(default)s)")
    parser.add_argument(
        "--heartbeat", type=int, default=20, help="seconds between signs of life (default: %(default)s)"
    )
    options, overrides = parser.parse_known_args(arguments)
    config = load_config(options.config, overrides)
    if options.trials is not None:
        config = override_config(config, ["--tuning.trials", str(options.trials)])
    if options.heartbeat < 1:
        raise UserError("--heartbeat is in seconds", got=options.heartbeat, expected="1 or more")
    name = options.study or config.experiment_name
    command = shlex.join(["python", "pipelines/tune_optuna.py", *arguments])
    folder = Path(options.output) / f"{name}-tuning"
    crew = Crew(0 if options.helper else options.workers - 1, arguments, folder)
    if options.workers > 1:
        share_processor(options.workers)

    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.tuning.space import read_space
    from iqa.tuning.storage import open_storage

    read_space(config)
    storage = open_storage(options.storage, options.heartbeat)
    with ExitStack() as helpers:
        helpers.enter_context(crew)
        from iqa.tuning.planned import await_plan
        from iqa.tuning.workbench import Workbench

        bench = Workbench(config)
        if options.helper:
            await_plan(storage, name)
        findings = tune(config, bench, storage, name, folder, helpers, helps=options.helper)
    if options.helper:
        return
    target = write_tuned(config, findings, Path(options.tuned) / f"{name}.json", command)
    print(f"\ntuned config: {target}\ntrain it: python pipelines/train_gpu.py --config {target}")


def tune(
    config: ExperimentConfig,
    bench: Any,
    storage: Any,
    name: str,
    folder: Path,
    helpers: ExitStack,
    *,
    helps: bool = False,
) -> dict[str, Any]:
    """Search, confirm and recommend; all of it is told to MLflow and written to `folder`.

    Args:
        helpers: work along while trials are run; they are taken over, and have ended when this returns.
        helps: be one of another command's crew, and leave the writing to it.

    Returns:
        What recommendations.json holds.
    """
    from iqa.tracking import open_run
    from iqa.tuning.findings import conclude
    from iqa.tuning.search import Search

    teller = Teller(config)
    search = Search(config, bench, teller, storage, name)
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
        print(f"study {name}: {config.tuning.trials} trials over {', '.join(search.space)}", flush=True)
        with closing(teller), interruptible(study, config.tuning.trials):
            teller.follow(tracker, study, config.tuning.trials)
            with helpers.pop_all():  # they end before the run does that they report to
                search.work()
                teller.follow(tracker, None, 0)
                print(f"\nconfirming what was found on {config.tuning.confirmations} other splits", flush=True)
                findings = conclude(search, bench, teller, storage)
        if helps:
            return findings
        write_findings(search, findings, folder, tracker)
        tracker.bury_dead()
    print((folder / "recommendations.md").read_text(encoding="utf-8"))
    print(f"files: {folder}")
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


def warn_of_sharing(study: PlannedStudy, storage: Any) -> None:
    """Say so where another command is at work on a study in SQLite."""
    if study.others_at_work() and "sqlite" in str(getattr(storage, "url", "")):
        print(
            "warning: another process works on this study, and SQLite is not made for several: "
            "use --storage postgresql://..., mysql://..., grpc://HOST:PORT or journal:///FILE",
            file=sys.stderr,
        )


def write_findings(search: Search, findings: dict[str, Any], folder: Path, tracker: Tracker) -> None:
    """recommendations.json, .md and .png, the figures of the search and a table of its trials."""
    import pandas as pd

    from iqa.evaluation.plots_style import save
    from iqa.evaluation.plots_tuning import recommendation
    from iqa.files import write_json, write_text
    from iqa.tuning.findings import as_markdown
    from iqa.tuning.pictures import draw_search
    from iqa.tuning.search import as_rows

    write_json(folder / "recommendations.json", findings)
    text = as_markdown(findings)
    write_text(folder / "recommendations.md", text)
    rows = [{**row, **row.pop("values"), "curve": json.dumps(row["curve"])} for row in as_rows(search.planned.trials())]
    table = pd.DataFrame(rows).to_csv(index=False)
    write_text(folder / "trials.csv", table)
    save(
        recommendation(findings, caveat="validation pictures; the test pictures took no part"),
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
    from iqa.files import keep_aside, write_text
    from iqa.tuning.findings import header, tuned_config

    values = tuned_config(config, findings, f"{findings['study']}_tuned")
    text = header(findings, command) + "\n" + json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if target.is_file() and target.read_text(encoding="utf-8") != text:
        print(f"an earlier {target.name} is kept as {keep_aside(target)}")
    write_text(target, text)
    return target


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
