"""The same experiment on several splits: what `--repeats N` of training does.

One lucky split says little, so a figure worth quoting is the median of several, with its spread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.config import ExperimentConfig
from iqa.config_file import override_config
from iqa.errors import UserError
from iqa.files import experiment_label, split_folder
from pipelines.finish import finish

if TYPE_CHECKING:
    from iqa.tracking import Tracker

#: What is summed up over the splits.
MEASURES = ("srcc", "plcc", "krcc", "rmse", "plcc_logistic", "rmse_logistic")


def repeat(
    config: ExperimentConfig, output: Path, repeats: int, *, resume: bool, parent: str | None = None
) -> dict[str, Any]:
    """Train and judge `config` on `repeats` splits, as children of one MLflow run.

    Split n has the seeds of the config plus n, both for the split and for training, and the folder
    `output`/<name>/split<n>. With `resume`, splits that were judged before are kept, and one that was stopped goes on.

    Args:
        parent: id of the MLflow run that this one is a child of.

    Returns:
        What `repeats.json` holds: each split's figures, and median, mean, spread and range over the splits.

    Raises:
        UserError: with `resume`, what is there is another experiment.
    """
    from iqa.evaluation.report import RESULTS
    from iqa.files import read_json
    from iqa.tracking import open_run, read_run_note
    from iqa.training.checkpoints import ExperimentFolder

    whole = ExperimentFolder(output / config.experiment_name)
    earlier = read_run_note(whole.path).get("run_id") if resume else None
    if not resume and (aside := whole.keep_aside()):
        print(f"an earlier {whole.path.name} is kept as {aside}")
    if whole.config_file.exists():
        raise UserError(
            "this folder holds a single training, which splits would be mixed with",
            got=whole.path,
            fix="give --output another folder, or move it away",
        )
    figures = []
    with open_run(
        config,
        role="train",
        name=config.experiment_name,
        parent=parent,
        run_id=earlier,
        directory=whole.path,
        tags={"repeats": repeats},
    ) as tracker:
        tracker.log_config(config)
        for number in range(repeats):
            print(f"\nsplit {number + 1} of {repeats}", flush=True)
            folder = ExperimentFolder(split_folder(whole.path, number))
            single = _split(config, number, experiment_label(folder.path))
            finish(single, folder, parent=tracker.run_id, skip_tsne=True)
            figures.append(test_figures(read_json(folder.visualizations / RESULTS)))
        return log_summary(tracker, whole.path, figures)


def log_summary(tracker: Tracker, folder: Path, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up all splits' `test_figures`, in `folder`/repeats.json and in MLflow; returns what that file holds."""
    from iqa.files import write_json

    summary = {"splits": figures, **summarise(figures)}
    write_json(folder / "repeats.json", summary)
    tracker.log_files(folder / "repeats.json", None)
    tracker.log_metrics(
        {f"test_{name}_{kind}": value for name, part in summary["test"].items() for kind, value in part.items()}
        | {f"test_{name}": part["median"] for name, part in summary["test"].items()}
    )
    return summary


def summarise(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, mean, standard deviation (of a sample), least and greatest of every measure over the splits."""
    import numpy as np

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

    return {"test": over("test"), "by_subset": over("by_subset")}


def show(summary: dict[str, Any]) -> None:
    """The outcome over all splits on the terminal."""
    print(f"\n{len(summary['splits'])} splits: median, mean +- spread [least, greatest]")
    rows = [*summary["test"].items(), *((f"srcc {name}", part) for name, part in summary["by_subset"].items())]
    for name, part in rows:
        print(
            f"  {name:<14} {part['median']:.4f}  {part['mean']:.4f} +- {part['std']:.4f}"
            f"  [{part['low']:.4f}, {part['high']:.4f}]"
        )


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


def test_figures(results: dict[str, Any]) -> dict[str, Any]:
    """Out of a test_results.json: what is summed up over the splits."""
    return {
        "test": {name: results["metrics"][name]["value"] for name in MEASURES},
        "by_subset": {name: part["srcc"] for name, part in results["by_subset"].items()},
    }
