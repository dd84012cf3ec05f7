"""`iqa.evaluate`: a trained experiment judged on its test pictures, or on another data set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from iqa.api.calls import SILENT, Terminal, as_found, logged_here, places
from iqa.api.report import write_report
from iqa.api.results import EvaluationResult, TrainingResult
from iqa.config import ExperimentConfig
from iqa.config.data import Preset
from iqa.config.reading import with_settings
from iqa.data.prepared import prepare
from iqa.deploy.card import write_card
from iqa.estimate import about
from iqa.evaluation.clusters import FIGURES as CLUSTERS
from iqa.evaluation.description import description
from iqa.evaluation.evaluated import Evaluated
from iqa.evaluation.own_test import is_own, refuse_known
from iqa.evaluation.report import RESULTS, TABLE
from iqa.files import read_json, write_text
from iqa.forecast import forecast
from iqa.scoring import COVERAGE, load_scorer
from iqa.tracking import Figures, Tracker, check_place, fetch_experiment, metric_names, open_run, read_run_note
from iqa.tracking.models.logged import CARD, digest_of
from iqa.training.checkpoints import BEST, ExperimentFolder

#: Where in an experiment's folder the report of its own test pictures lies.
OWN = "visualizations"
#: The figure that a run's description shows.
SCATTER = "predictions_scatter.png"


@as_found
def evaluate(
    experiment: str | Path | TrainingResult,
    *,
    settings: Mapping[str, Any] | None = None,
    checkpoint: str = BEST,
    skip_tsne: bool = False,
    coverage: float = COVERAGE,
    verbose: bool = False,
) -> EvaluationResult:
    """Judge a trained experiment on its test pictures; another data set is judged whole, and kept apart.

    Writes test_results.json, test_predictions.csv and the figures, and logs them to MLflow.

    Args:
        experiment: its folder, what `iqa.train` returned, or `runs:/<run id>`.
        settings: of its config, by their dotted names, such as {"data.dataset": "koniq10k", "data.root": FOLDER}.
        checkpoint: file in that folder.
        skip_tsne: leave out t-SNE, the slowest figure.
        coverage: share of pictures that intervals are to hold for.
        verbose: print what the command prints.

    Raises:
        UserError: no such experiment, or it would be tested on pictures that it learned from.
    """
    place = experiment.folder if isinstance(experiment, TrainingResult) else experiment
    if str(place).startswith("runs:/"):
        place = fetch_experiment(str(place), Path("experiments") / str(place).removeprefix("runs:/"))
    folder = ExperimentFolder(place)
    config = with_settings(folder.read_config(), settings)
    check_place(config, read_run_note(folder.path).get("tracking_uri"))
    if verbose:
        load = forecast(config, trains=False, logged_here=logged_here(config))
        what = f"{place} by its {checkpoint}: {about(config)}, on {config.data.dataset} ({load.pictures})"
        Terminal(verbose).begins("evaluate", what, load, places(config, folder.visualizations, load))
    terminal = Terminal(verbose)
    return judge_experiment(folder, config, checkpoint, skip_tsne=skip_tsne, coverage=coverage, terminal=terminal)


def judge_experiment(
    folder: ExperimentFolder,
    config: ExperimentConfig,
    checkpoint: str,
    *,
    skip_tsne: bool,
    coverage: float = COVERAGE,
    terminal: Terminal = SILENT,
) -> EvaluationResult:
    """Judge one checkpoint; the figures go to a run of their own and to the training's run."""
    evaluated = judge(folder, config, checkpoint, coverage=coverage, progress=terminal.bars)
    place, label = place_of(folder.path, evaluated, config)
    history = read_json(folder.history_file) if folder.history_file.is_file() else {"epochs": [], "best_epoch": None}
    trained_in = read_run_note(folder.path).get("run_id")
    own = evaluated.trained_on is None
    if own:
        write_text(folder.testing, "")
    with open_run(
        config,
        role="evaluate",
        name=f"{config.experiment_name}-{label}",
        parent=trained_in,
        directory=folder.path,
        tags={"checkpoint": checkpoint},
    ) as tracker:
        report = write_report(
            evaluated,
            history["epochs"],
            folder.path / place,
            best_epoch=history["best_epoch"],
            skip_tsne=skip_tsne,
            seed=config.training.seed,
            progress=terminal.bars,
        )
        tracker.log_config(config)
        figures = headline(report.results, label)
        tracker.log_metrics(figures)
        log_report(tracker, folder.path, place, pictures=True)
        dataset = log_test_pictures(tracker, evaluated, config)
        write_card(folder.path)
        trained = tracker.on_run(trained_in)
        log_report(trained, folder.path, place, pictures=own)
        log_tested_model(trained, folder.path, place, figures, digest_of([folder.path / checkpoint]), dataset)
        for run in (tracker, trained) if own else (tracker,):
            picture, settings = run.log_preview(folder.path / place / SCATTER), run.file_link("config.json")
            run.describe(description(report.results, config, picture=picture, settings=settings))
    if own:
        folder.testing.unlink(missing_ok=True)
    return EvaluationResult(config.experiment_name, folder.path / place, report, history["epochs"], tracker.link)


def place_of(folder: Path, evaluated: Evaluated, config: ExperimentConfig) -> tuple[str, str]:
    """Where in an experiment's folder a report lies, and what its run and metrics are called after.

    What is said of another data set than the one trained on is kept apart, each set in a folder of its own.
    """
    if evaluated.trained_on is None:
        return OWN, "test"
    data = config.data
    source = Path(data.csv or data.root or data.hub_name or "")
    published = data.dataset in get_args(Preset)
    label = data.dataset if published else re.sub(r"[^\w.-]+", "_", f"{data.dataset}-{source.stem}").strip("-")
    for number in count(1):
        name = label if number == 1 else f"{label}-{number}"
        results = folder / "visualizations" / name / RESULTS
        if not results.is_file() or read_json(results).get("data", evaluated.data) == evaluated.data:
            break
    return f"visualizations/{name}", name


def log_report(run: Tracker, folder: Path, place: str, *, pictures: bool) -> None:
    """Bring the files of the report in `folder`/`place` to a run."""
    if pictures:
        run.log_pictures(folder / place, place)
    for name in (RESULTS, TABLE):
        run.log_files(folder / place / name, place)


def log_test_pictures(run: Tracker, evaluated: Evaluated, config: ExperimentConfig) -> tuple[str, str]:
    """Bring the pictures of a test to its run; their name and a digest of which they are, with which scores."""
    known = evaluated.table[["image", "score"]].to_csv(index=False, float_format="%.9g")
    name = f"{config.data.dataset}-test" if evaluated.trained_on is None else config.data.dataset
    digest = hashlib.sha256(known.encode()).hexdigest()
    source = config.data.root or config.data.dataset
    run.log_dataset(evaluated.table, name=name, context="test", digest=digest, source=source)
    return name, digest


def log_tested_model(
    run: Tracker, folder: Path, place: str, figures: Figures, checkpoint: str, pictures: tuple[str, str]
) -> None:
    """Bring a test's figures to a run and the model that it logged of `checkpoint`, by its digest; the card, too.

    Args:
        place: of the report, in `folder`.
        pictures: their name and digest.
    """
    run.log_files(folder / CARD)
    files = [f"{place}/{name}" for name in (RESULTS, TABLE)] if place == OWN else []
    run.log_test(folder, files, checkpoint=checkpoint, metrics=figures, dataset=pictures)


def judge(
    folder: ExperimentFolder,
    config: ExperimentConfig,
    checkpoint: str,
    *,
    coverage: float = COVERAGE,
    progress: bool | None = None,
) -> Evaluated:
    """Predict the test split once; all of a data set that training did not know.

    Raises:
        UserError: some of what would be the test split is what the model learned from.
    """
    scorer = load_scorer(folder.path / checkpoint, config.training.device, coverage)
    learned = scorer.config.data
    named = [(each.dataset, each.csv, each.hub_name, each.root) for each in (config.data, learned)]
    if named[0] != named[1] and config.data.scored:
        # Cut as the model's own pictures were, whatever is usual for this set.
        views = scorer.views
        changes = {"picture_size": views.side, "resize": views.resize, "crops": views.crops}
        config = config.model_copy(update={"data": config.data.model_copy(update=changes)})
    store = prepare(config.data, progress=progress, to_train=False, once=True)
    manifest = folder.read_manifest()
    same_settings = named[0][:3] == named[1][:3]
    own = same_settings if manifest is None else is_own(manifest, store.known_by, same_settings=same_settings)
    split = "test" if own else "all"
    rows = store.indices(split)
    table = store.manifest.iloc[rows.numpy()].reset_index(drop=True)
    if manifest is not None:
        refuse_known(manifest, table, [store.known_by[row] for row in rows.tolist()], own=own, folder=folder.path)
    predictions = scorer.predict(store, split, progress=progress)
    calibrated = scorer.calibration(pd.Series(predictions.score)) if scorer.calibration else None
    bounds = None
    if scorer.calibration and scorer.calibration.intervals:
        bounds = scorer.calibration.bounds(predictions.said, scorer.coverage)
    return Evaluated(
        predicted=predictions.score,
        true=store.scores[rows].numpy(),
        responsibilities=predictions.responsibilities,
        log_likelihood=predictions.log_likelihood,
        z=predictions.z,
        covariance=scorer.config.model.mixture.covariance,
        features=predictions.embedding,
        table=table,
        thumbnail=lambda number: store.thumbnail(int(rows[number])),
        score_name=store.score_name,
        scale=store.scale,
        calibrated=None if calibrated is None else calibrated.to_numpy(),
        not_calibrated=scorer.not_calibrated,
        low=None if bounds is None else bounds["low"].to_numpy(),
        high=None if bounds is None else bounds["high"].to_numpy(),
        coverage=scorer.coverage,
        no_intervals=scorer.no_intervals,
        trained_on=None if own else learned.dataset,
        data=store.digest,
    )


def headline(results: dict[str, Any], label: str = "test") -> Figures:
    """The figures that a table of runs compares, with their intervals, each subset's SRCC and those of the mixture.

    Those of another data set than the one trained on go by its `label`.

    A subset whose name MLflow would not take, or would mix with another figure's, has one of its own there.
    """
    prefix = "test/" if label == "test" else f"test/{label}/"
    figures = {}
    for name, metric in results["metrics"].items():
        figures[f"{prefix}{name}"] = metric["value"]
        figures[f"{prefix}{name}_low"], figures[f"{prefix}{name}_high"] = metric["low"], metric["high"]
    if results.get("intervals"):
        figures |= {f"{prefix}interval_{name}": results["intervals"][name]["value"] for name in ("coverage", "width")}
    wanted = {f"{prefix}srcc_{subset}": subset for subset in results["by_subset"]}
    names = dict(zip(wanted, metric_names(list(wanted), taken=figures), strict=True))
    figures |= {names[full]: results["by_subset"][subset]["srcc"] for full, subset in wanted.items()}
    # Training's own figures of its epochs stand in that group by these very names.
    prefix = "mixture/test_" if label == "test" else f"mixture/test/{label}/"
    figures |= {f"{prefix}{name}": results["mixture"][name] for name in CLUSTERS if results.get("mixture")}
    return Figures(figures, {names[full]: subset for full, subset in wanted.items() if names[full] != full})
