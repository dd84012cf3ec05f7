"""The same experiment on several splits: what `repeats` of a training does.

One lucky split says little, so a figure worth quoting is the median of several, with its spread.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from iqa.api.calls import SILENT, Terminal
from iqa.api.results import RepeatsResult
from iqa.api.running import finish
from iqa.config import ExperimentConfig
from iqa.config.reading import override_config
from iqa.distributed.group import is_first, of_first
from iqa.errors import UserError
from iqa.estimate import Forecast, in_turn
from iqa.evaluation.description import repeats_description
from iqa.evaluation.report import RESULTS
from iqa.files import content_of, experiment_label, read_json, split_folder, write_json
from iqa.forecast import forecast
from iqa.tracking import Tracker, open_run, read_run_note
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.losses import Loss, training_loss

#: What is summed up over the splits.
MEASURES = ("srcc", "plcc", "krcc", "rmse", "plcc_logistic", "rmse_logistic")


def repeat(
    config: ExperimentConfig,
    output: Path,
    repeats: int,
    *,
    resume: bool,
    parent: str | None = None,
    loss: Loss = training_loss,
    terminal: Terminal = SILENT,
) -> RepeatsResult:
    """Train and judge `config` on `repeats` splits, as children of one MLflow run.

    Split n has the seeds of the config plus n, both for the split and for training, and the folder
    `output`/<name>/split<n>. With `resume`, splits that were judged before are kept, and one that was stopped goes on.

    Args:
        parent: id of the MLflow run that this one is a child of.

    Raises:
        UserError: with `resume`, what is there is another experiment.
    """
    whole = ExperimentFolder(output / config.experiment_name)
    earlier = read_run_note(whole.path).get("run_id") if resume else None
    if resume and whole.config_file.exists():
        raise UserError(
            "this folder holds a single training, which splits would be mixed with",
            got=whole.path,
            fix="give --output another folder, or move it away",
        )
    figures = []
    with (
        whole.claimed() if is_first() and not resume else nullcontext(),
        open_run(
            config,
            role="train",
            name=config.experiment_name,
            parent=parent,
            run_id=earlier,
            directory=whole.path,
            tags={"repeats": repeats},
        ) as tracker,
    ):
        tracker.log_config(config)
        for number in range(repeats):
            terminal.say(f"\nsplit {number + 1} of {repeats}")
            folder = ExperimentFolder(split_folder(whole.path, number))
            single = _split(config, number, experiment_label(folder.path))
            finish(single, folder, parent=tracker.run_id, skip_tsne=True, role="split", loss=loss, terminal=terminal)
            figures.append(of_first(partial(_figures_of, folder)))
        summary = of_first(lambda: log_summary(tracker, whole.path, figures))
        return RepeatsResult(config.experiment_name, whole.path, summary, tracker.link)


def forecast_of_splits(config: ExperimentConfig, repeats: int, *, logged_here: bool = False) -> Forecast:
    """What training `config`, and with `repeats` testing it, on so many splits will take."""
    if repeats == 1:
        return forecast(config, logged_here=logged_here)
    # Splits of scored pictures share all that is cached; of others each draws its own.
    some = [_split(config, number, config.experiment_name) for number in range(1 if config.data.scored else repeats)]
    once = in_turn(
        [forecast(each, trains=trains, logged_here=logged_here) for each in some for trains in (True, False)]
    )
    return replace(once, files=once.files * repeats // len(some))


def log_summary(tracker: Tracker, folder: Path, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up all splits' `test_figures`, in `folder`/repeats.json and in MLflow; returns what that file holds."""
    summary = {"splits": figures, **summarise(figures)}
    write_json(folder / "repeats.json", summary)
    tracker.log_files(folder / "repeats.json", None)
    tracker.log_metrics(
        {f"test_{name}_{kind}": value for name, part in summary["test"].items() for kind, value in part.items()}
        | {f"test_{name}": part["median"] for name, part in summary["test"].items()}
    )
    tracker.describe(repeats_description(summary, tracker.children_link()))
    return summary


def summarise(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, mean, standard deviation (of a sample), least and greatest of every measure over the splits."""

    def over(key: str) -> dict[str, dict[str, float]]:
        names = figures[0][key]
        columns = {name: [split[key].get(name) for split in figures] for name in names}
        return {
            name: {
                "median": float(np.median(values)),
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "low": float(np.min(values)),
                "high": float(np.max(values)),
            }
            for name, values in columns.items()
            if all(value is not None for value in values)
        }

    return {key: over(key) for key in ("test", "by_subset", "intervals")}


def _split(config: ExperimentConfig, number: int, name: str) -> ExperimentConfig:
    """The config of one split."""
    return override_config(
        config,
        [
            *("--experiment_name", name),
            *("--data.split_seed", str(config.data.split_seed + number)),
            *("--data.seed", str(config.data.seed + number)),
            *("--training.seed", str(config.training.seed + number)),
        ],
    )


def _figures_of(folder: ExperimentFolder) -> dict[str, Any]:
    """What is summed up of a split that was tested."""
    results = read_json(folder.visualizations / RESULTS)
    with content_of(folder.visualizations / RESULTS, "what iqa evaluate writes", "remove it, and train again"):
        return test_figures(results)


def test_figures(results: dict[str, Any]) -> dict[str, Any]:
    """Out of a test_results.json: what is summed up over the splits."""
    return {
        "test": {name: results["metrics"][name]["value"] for name in MEASURES},
        "by_subset": {name: part["srcc"] for name, part in results["by_subset"].items()},
        "intervals": {name: (results["intervals"] or {}).get(name, {}).get("value") for name in ("coverage", "width")},
    }
