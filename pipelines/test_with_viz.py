"""Judges a trained experiment on its test pictures: `python pipelines/test_with_viz.py --experiment E`.

Writes test_results.json, test_predictions.csv and the figures to E/visualizations, and logs them to MLflow. Another
data set than the one trained on (--data.dataset NAME --data.root FOLDER) is judged whole, and its files go to
E/visualizations/NAME.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import add_flag, run_command
from iqa.config_file import override_config

if TYPE_CHECKING:
    import pandas as pd

    from iqa.config import ExperimentConfig
    from iqa.evaluation.evaluated import Evaluated
    from iqa.tracking import Tracker
    from iqa.training.checkpoints import ExperimentFolder


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Settings can be given by their dotted names, such as --data.root FOLDER or --training.device cpu.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--experiment", default="experiments/quick_test", help="folder, or runs:/<id> (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="best_model.pth", help="file in that folder (default: %(default)s)")
    add_flag(parser, "--skip_tsne", "leave out t-SNE, the slowest figure")
    options, overrides = parser.parse_known_args(arguments)

    # Imported late: --help must not wait for torch.
    from iqa.training.checkpoints import ExperimentFolder

    experiment = options.experiment
    if experiment.startswith("runs:/"):
        from iqa.tracking import fetch_experiment

        experiment = fetch_experiment(experiment, Path("experiments") / experiment.removeprefix("runs:/"))
    folder = ExperimentFolder(experiment)
    config = override_config(folder.read_config(), overrides)
    results, files = evaluate(folder, config, options.checkpoint, skip_tsne=options.skip_tsne)
    show(results, files)


def evaluate(
    folder: ExperimentFolder, config: ExperimentConfig, checkpoint: str, *, skip_tsne: bool
) -> tuple[dict[str, Any], Path]:
    """Judge one checkpoint; the figures go to a run of their own and to the training's run.

    Returns:
        What test_results.json holds, and the folder that it is in.
    """
    from iqa.evaluation.report import write_report
    from iqa.files import read_json
    from iqa.tracking import open_run, read_run_note

    evaluated = judge(folder, config, checkpoint)
    place, label = place_of(evaluated, config)
    target = folder.path / place
    history = read_json(folder.history_file) if folder.history_file.is_file() else {"epochs": [], "best_epoch": None}
    trained_in = read_run_note(folder.path).get("run_id")
    with open_run(
        config,
        role="evaluate",
        name=f"{config.experiment_name}-{label}",
        parent=trained_in,
        directory=folder.path,
        tags={"checkpoint": checkpoint},
    ) as tracker:
        results = write_report(
            evaluated,
            history["epochs"],
            target,
            best_epoch=history["best_epoch"],
            skip_tsne=skip_tsne,
            seed=config.training.seed,
        )
        tracker.log_config(config)
        figures = headline(results, f"{label}_")
        log_report(tracker, folder.path, place, figures, pictures=True)
        log_report(tracker.on_run(trained_in), folder.path, place, figures, pictures=evaluated.trained_on is None)
    return results, target


def place_of(evaluated: Evaluated, config: ExperimentConfig) -> tuple[str, str]:
    """Where in an experiment's folder a report lies, and what its run and metrics are called after.

    What is said of another data set than the one trained on is kept apart.
    """
    if evaluated.trained_on is None:
        return "visualizations", "test"
    return f"visualizations/{config.data.dataset}", config.data.dataset


def log_report(run: Tracker, folder: Path, place: str, figures: dict[str, float | None], *, pictures: bool) -> None:
    """Bring the report in `folder`/`place`, whose headline is `figures`, to a run."""
    from iqa.evaluation.report import RESULTS, TABLE

    run.log_metrics(figures)
    if pictures:
        run.log_pictures(folder / place, place)
    for name in (RESULTS, TABLE):
        run.log_files(folder / place / name, place)


def judge(folder: ExperimentFolder, config: ExperimentConfig, checkpoint: str) -> Evaluated:
    """Predict the test split once; all of a data set that training did not know.

    Raises:
        UserError: some of what would be the test split is what the model learned from.
    """
    import pandas as pd

    from iqa.data.pixels import prepare
    from iqa.evaluation.evaluated import Evaluated
    from iqa.scoring import load_scorer

    scorer = load_scorer(folder.path / checkpoint, config.training.device)
    learned = scorer.config.data
    foreign = (config.data.dataset, config.data.csv, config.data.hub_name) != (
        learned.dataset,
        learned.csv,
        learned.hub_name,
    )
    if foreign and config.data.scored:
        # Cut as the model's own pictures were, whatever is usual for this set.
        views = scorer.views
        changes = {"picture_size": views.side, "resize": views.resize, "crops": views.crops}
        config = config.model_copy(update={"data": config.data.model_copy(update=changes)})
    store = prepare(config.data)
    split = "all" if foreign else "test"
    rows = store.indices(split)
    table = store.manifest.iloc[rows.numpy()].reset_index(drop=True)
    if not foreign:
        refuse_known(folder, table)
    predictions = scorer.predict(store, split)
    calibrated = scorer.calibration(pd.Series(predictions.score)) if scorer.calibration else None
    return Evaluated(
        predicted=predictions.score,
        true=store.scores[rows].numpy(),
        responsibilities=predictions.responsibilities,
        log_likelihood=predictions.log_likelihood,
        features=predictions.embedding,
        table=table,
        thumbnail=lambda number: store.thumbnail(int(rows[number])),
        score_name=store.score_name,
        scale=store.scale,
        calibrated=None if calibrated is None else calibrated.to_numpy(),
        trained_on=learned.dataset if foreign else None,
    )


def refuse_known(folder: ExperimentFolder, test: pd.DataFrame) -> None:
    """See to it that no content of the test was trained on or selected by.

    Raises:
        UserError: one was, as where another data.split_seed draws the splits anew.
    """
    from iqa.errors import UserError

    manifest = folder.read_manifest()
    if manifest is None:
        return
    known = set(manifest.loc[manifest["split"] != "test", "content"])
    contents = test["content"].astype(str).unique()
    if shared := [name for name in contents if name in known]:
        raise UserError(
            f"{folder.path} would be tested on pictures that it was trained on or selected by",
            got=f"{len(shared)} of {len(contents)} contents, such as {shared[0]}",
            expected="the test split of its training",
            fix="leave out settings that draw the splits anew, such as data.split_seed, data.split_shares or data.seed",
        )


def headline(results: dict[str, Any], prefix: str = "test_") -> dict[str, float | None]:
    """The figures that a table of runs compares, with their intervals, and each subset's SRCC."""
    figures = {}
    for name, metric in results["metrics"].items():
        figures[f"{prefix}{name}"] = metric["value"]
        figures[f"{prefix}{name}_low"], figures[f"{prefix}{name}_high"] = metric["low"], metric["high"]
    for subset, part in results["by_subset"].items():
        # MLflow takes these characters, and no others, in the name of a metric.
        figures[f"{prefix}srcc_" + re.sub(r"[^\w .:/-]", "_", subset)] = part["srcc"]
    return figures


def show(results: dict[str, Any], files: Path) -> None:
    """The outcome on the terminal, with where every file is and how to look at the rest."""
    print(f"\n{results['n']} test pictures, judged against {results['score_name']}")
    if results["caveat"]:
        print(f"({results['caveat']})")
    for name in ("srcc", "plcc", "krcc", "rmse"):
        metric = results["metrics"][name]
        if metric["value"] is None:
            continue
        interval = "no interval: too few contents"
        if metric["low"] is not None and metric["high"] is not None:
            interval = f"95 % interval {metric['low']:.4f} to {metric['high']:.4f}"
        print(f"  {name.upper()} {metric['value']:.4f}  ({interval})")
    for subset, part in results["by_subset"].items():
        figure = "too few" if part["srcc"] is None else f"SRCC {part['srcc']:.4f}"
        print(f"    {subset}: {figure}  ({part['n']} pictures)")
    print("files:")
    for path in sorted(p for p in files.parent.rglob("*") if p.is_file() and not p.name.startswith(".")):
        print(f"  {path}")
    print("browse every run: make ui, then http://127.0.0.1:5000/#/experiments/0/runs")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
