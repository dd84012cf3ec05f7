"""Judges a trained experiment on its test pictures: `python pipelines/test_with_viz.py --experiment E`.

Writes test_results.json, test_predictions.csv and the figures to E/visualizations, and logs them to MLflow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import add_flag, run_command
from iqa.config_file import override_config

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.evaluation.evaluated import Evaluated
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
    evaluate(folder, config, options.checkpoint, skip_tsne=options.skip_tsne)


def evaluate(folder: ExperimentFolder, config: ExperimentConfig, checkpoint: str, *, skip_tsne: bool) -> None:
    """Judge one checkpoint; the figures go to a run of their own and to the training's run."""
    from iqa.evaluation.report import RESULTS, TABLE, write_report
    from iqa.files import read_json
    from iqa.tracking import open_run, read_run_note

    evaluated = judge(folder, config, checkpoint)
    history = read_json(folder.history_file) if folder.history_file.is_file() else {"epochs": [], "best_epoch": None}
    trained_in = read_run_note(folder.path).get("run_id")
    with open_run(
        config,
        role="evaluate",
        name=f"{config.experiment_name}-test",
        parent=trained_in,
        directory=folder.path,
        tags={"checkpoint": checkpoint},
    ) as tracker:
        results = write_report(
            evaluated,
            history["epochs"],
            folder.visualizations,
            best_epoch=history["best_epoch"],
            skip_tsne=skip_tsne,
            seed=config.training.seed,
        )
        tracker.log_config(config)
        figures = headline(results)
        for run in (tracker, tracker.on_run(trained_in)):
            run.log_metrics(figures)
            run.log_pictures(folder.visualizations, "visualizations")
            for name in (RESULTS, TABLE):
                run.log_files(folder.visualizations / name, "visualizations")
    show(results, folder)


def judge(folder: ExperimentFolder, config: ExperimentConfig, checkpoint: str) -> Evaluated:
    """Predict the test split once."""
    from iqa.data.pixels import prepare
    from iqa.evaluation.evaluated import Evaluated
    from iqa.scoring import load_scorer

    scorer = load_scorer(folder.path / checkpoint, config.training.device)
    store = prepare(config.data)
    rows = store.indices("test")
    predictions = scorer.predict(store, "test")
    return Evaluated(
        predicted=predictions.score,
        true=store.scores[rows].numpy(),
        responsibilities=predictions.responsibilities,
        log_likelihood=predictions.log_likelihood,
        features=predictions.embedding,
        table=store.manifest.iloc[rows.numpy()].reset_index(drop=True),
        thumbnail=lambda number: store.thumbnail(int(rows[number])),
        score_name=store.score_name,
    )


def headline(results: dict[str, Any]) -> dict[str, float | None]:
    """The figures that a table of runs compares, with their intervals."""
    figures = {}
    for name, metric in results["metrics"].items():
        figures[f"test_{name}"] = metric["value"]
        figures[f"test_{name}_low"], figures[f"test_{name}_high"] = metric["low"], metric["high"]
    return figures


def show(results: dict[str, Any], folder: ExperimentFolder) -> None:
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
    print("files:")
    for path in sorted(p for p in folder.path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        print(f"  {path}")
    print("browse every run: make ui, then http://127.0.0.1:5000/#/experiments/0/runs")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
