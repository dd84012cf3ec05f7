"""From a model's answers on the test split to the files of an evaluation: numbers, table, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from iqa import metrics
from iqa.evaluation import embedding, plots
from iqa.evaluation.breakdowns import breakdowns
from iqa.evaluation.evaluated import FEW_CONTENTS, Evaluated
from iqa.evaluation.plots_style import Figure, save
from iqa.files import write_json, write_text

__all__ = ["FIGURES", "Evaluated", "write_report"]

#: Every figure that a report can have. One that a run does not draw is removed, so that none is stale.
FIGURES = (
    "predictions_scatter.png",
    "cluster_distribution.png",
    "features_pca.png",
    "features_tsne.png",
    "sample_predictions.png",
    "training_curves.png",
)
RESULTS = "test_results.json"
TABLE = "test_predictions.csv"
CONFIDENCE = 0.95
SAMPLES = 1000


def write_report(
    evaluated: Evaluated,
    history: Sequence[Mapping[str, Any]],
    directory: Path,
    *,
    best_epoch: int | None,
    skip_tsne: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Write `test_results.json`, `test_predictions.csv` and FIGURES into `directory`.

    Everything is computed before anything is written, and the results come last, so that an evaluation that
    fails leaves an earlier one whole. Figures that this run has no ground for are removed: t-SNE where it is
    skipped or has fewer than five points, training curves where no epoch was recorded.

    Args:
        history: the records of training, one per epoch; may be empty.
        best_epoch: the epoch marked in the training curves.
        skip_tsne: leave out the slowest figure.
        seed: of the bootstrap, PCA and t-SNE; the same seed gives the same report.
        progress: a progress bar on stderr; None shows one on a terminal only.

    Returns:
        what `test_results.json` holds: plain numbers, strings, lists and dicts, None for what does not exist.

    Raises:
        UserError: fewer than two pictures, or predictions that are not finite.
        IqaError: the directory cannot be written.
    """
    drawn: dict[str, Figure] = {}
    hidden = None if progress is None else not progress
    with tqdm(total=len(FIGURES) + 2, desc="report", disable=hidden, leave=False) as bar:
        results = _results(evaluated, best_epoch, seed)
        bar.update()
        for name, draw in _drawings(evaluated, history, results, skip_tsne=skip_tsne, seed=seed).items():
            bar.set_postfix_str(name)
            drawn[name] = draw()
            bar.update()
        for name in FIGURES:
            if name in drawn:
                save(drawn[name], directory / name)
            else:
                (directory / name).unlink(missing_ok=True)
        results["figures"] = list(drawn)
        table = _table(evaluated).to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(directory / TABLE, table)
        plain: dict[str, Any] = _plain(results)
        write_json(directory / RESULTS, plain)
    return plain


def _results(evaluated: Evaluated, best_epoch: int | None, seed: int) -> dict[str, Any]:
    """Every number of the report but those that come out of drawing the features."""
    predicted, true = evaluated.predicted, evaluated.true
    contents = evaluated.table["content"].astype(str).to_numpy()
    values = metrics.scores(predicted, true)
    intervals = metrics.bootstrap(predicted, true, samples=SAMPLES, seed=seed, confidence=CONFIDENCE, groups=contents)
    logistic = metrics.fit_logistic(predicted, true)
    return {
        "n": len(evaluated),
        "contents": evaluated.n_contents,
        "score_name": evaluated.score_name,
        "scale": evaluated.scale.to_dict(),
        "trained_on": evaluated.trained_on,
        "caveat": evaluated.caveat,
        "best_epoch": best_epoch,
        "metrics": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in values.items()
        },
        "bootstrap": {
            "confidence": CONFIDENCE,
            "samples": SAMPLES,
            "resampled": "contents",
            "few_contents": evaluated.n_contents < FEW_CONTENTS,
            "seed": seed,
        },
        "logistic": {"parameters": list(logistic.parameters), "linear": logistic.linear},
        "mixture": _mixture(evaluated),
        **breakdowns(evaluated, samples=SAMPLES, seed=seed, confidence=CONFIDENCE),
    }


def _mixture(evaluated: Evaluated) -> dict[str, Any] | None:
    if evaluated.clusters is None or evaluated.responsibilities is None:
        return None
    likelihood = evaluated.log_likelihood
    return {
        "n_clusters": evaluated.n_clusters,
        "clusters_used": len(np.unique(evaluated.clusters)),
        "mean_largest_responsibility": float(evaluated.responsibilities.max(axis=1).mean()),
        "mean_log_likelihood": None if likelihood is None else float(np.mean(likelihood)),
    }


def _drawings(
    evaluated: Evaluated,
    history: Sequence[Mapping[str, Any]],
    results: dict[str, Any],
    *,
    skip_tsne: bool,
    seed: int,
) -> dict[str, Callable[[], Figure]]:
    """How to draw each figure that there is ground for, by file name."""
    drawings: dict[str, Callable[[], Figure]] = {
        "predictions_scatter.png": lambda: _scatter(evaluated, results),
        "cluster_distribution.png": lambda: plots.cluster_distribution(evaluated),
        "features_pca.png": lambda: _pca(evaluated, results, seed),
    }
    if not skip_tsne and len(evaluated) >= embedding.MIN_POINTS:
        drawings["features_tsne.png"] = lambda: _tsne(evaluated, results, seed)
    drawings["sample_predictions.png"] = lambda: plots.sample_predictions(evaluated)
    if history:
        drawings["training_curves.png"] = lambda: plots.training_curves(
            history, best_epoch=results["best_epoch"], caveat=evaluated.caveat
        )
    return drawings


def _scatter(evaluated: Evaluated, results: Mapping[str, Any]) -> Figure:
    found = results["metrics"]
    return plots.predictions_scatter(
        evaluated,
        {name: metric["value"] for name, metric in found.items()},
        {name: (metric["low"], metric["high"]) for name, metric in found.items()},
        metrics.LogisticFit(tuple(results["logistic"]["parameters"]), results["logistic"]["linear"]),
    )


def _pca(evaluated: Evaluated, results: dict[str, Any], seed: int) -> Figure:
    coordinates, explained = embedding.pca(evaluated.features, seed=seed)
    results["pca"] = {"explained_variance_ratio": explained.tolist()}
    first, second = (f"component {k} ({share:.1%} of the variance)" for k, share in enumerate(explained, start=1))
    title = f"Features, PCA: two components explain {explained.sum():.1%} of the variance"
    return plots.features_embedding(evaluated, coordinates, title=title, axis_labels=(first, second))


def _tsne(evaluated: Evaluated, results: dict[str, Any], seed: int) -> Figure:
    coordinates, rows, perplexity = embedding.tsne(evaluated.features, seed=seed)
    results["tsne"] = {"n": len(rows), "perplexity": perplexity}
    kept = f"{len(rows):,} pictures" if len(rows) == len(evaluated) else f"{len(rows):,} of {len(evaluated):,} pictures"
    title = f"Features, t-SNE: perplexity {perplexity:.3g}, {kept}"
    return plots.features_embedding(
        evaluated, coordinates, title=title, axis_labels=("t-SNE 1", "t-SNE 2"), rows=rows, ticks=False
    )


def _table(evaluated: Evaluated) -> pd.DataFrame:
    """One row per picture, with what the model said of it."""
    columns = [name for name in ("image", "content", "subset", "kind", "level") if name in evaluated.table]
    table = evaluated.table[columns].reset_index(drop=True)
    shares = evaluated.responsibilities
    on_own_scale = evaluated.scale.from_unit(pd.Series(evaluated.true, dtype="float64"))
    return table.assign(
        **{evaluated.score_name: on_own_scale, "calibrated": evaluated.calibrated},
        score=evaluated.true,
        predicted=evaluated.predicted,
        error=evaluated.error,
        cluster=evaluated.clusters,
        largest_responsibility=None if evaluated.clusters is None or shares is None else shares.max(axis=1),
        log_likelihood=evaluated.log_likelihood,
    )


def _plain(value: Any) -> Any:
    """JSON's own types all the way down, with None where there is no finite number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
