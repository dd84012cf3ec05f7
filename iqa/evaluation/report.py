"""From a model's answers on the test split to every number of an evaluation, its table and its layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iqa import metrics
from iqa.evaluation import embedding
from iqa.evaluation.breakdowns import breakdowns
from iqa.evaluation.clusters import describe_clusters
from iqa.evaluation.coverage import describe_intervals
from iqa.evaluation.evaluated import FEW_CONTENTS, Evaluated

#: The files that hold a report's numbers and its table.
RESULTS = "test_results.json"
TABLE = "test_predictions.csv"
CONFIDENCE = 0.95
SAMPLES = 1000


@dataclass(frozen=True)
class Layout:
    """Features laid out in two dimensions.

    Attributes:
        coordinates: [n, 2].
        rows: [n] the pictures that they are of.
        about: what has to be known of the method, as plain values.
    """

    coordinates: NDArray[np.float64]
    rows: NDArray[np.intp]
    about: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        evaluated: the answers that it is about.
        results: every number, as JSON's own types; None for what does not exist.
        table: one row per picture, with what the model said of it.
        pca, tsne: the features laid out; no t-SNE where it was skipped or has too few points.
    """

    evaluated: Evaluated
    results: dict[str, Any]
    table: pd.DataFrame
    pca: Layout
    tsne: Layout | None


def compute(
    evaluated: Evaluated,
    *,
    best_epoch: int | None,
    skip_tsne: bool = False,
    seed: int = 0,
    progress: bool | None = False,
) -> Report:
    """Every number of a report, and the layouts that its figures are drawn from.

    Args:
        best_epoch: the epoch whose weights gave the answers, if it is known.
        skip_tsne: leave out the slowest layout; it is left out too with fewer than five pictures.
        seed: of the bootstrap, mixtures fitted anew, PCA and t-SNE; the same seed gives the same report.
        progress: True, bars; None, bars on a terminal and lines elsewhere; False, nothing.

    Raises:
        UserError: fewer than two pictures, or predictions that are not finite.
    """
    results = _results(evaluated, best_epoch, seed, progress)
    coordinates, explained = embedding.pca(evaluated.features, seed=seed)
    pca = Layout(coordinates, np.arange(len(evaluated)), {"explained_variance_ratio": explained.tolist()})
    tsne = None
    if not skip_tsne and len(evaluated) >= embedding.MIN_POINTS:
        coordinates, rows, perplexity = embedding.tsne(evaluated.features, seed=seed, progress=progress)
        tsne = Layout(coordinates, rows, {"n": len(rows), "perplexity": perplexity})
    results |= {"pca": pca.about, **({"tsne": tsne.about} if tsne else {})}
    return Report(evaluated, _plain(results), _table(evaluated), pca, tsne)


def _results(evaluated: Evaluated, best_epoch: int | None, seed: int, progress: bool | None) -> dict[str, Any]:
    predicted, true = evaluated.predicted, evaluated.true
    contents = evaluated.table["content"].astype(str).to_numpy()
    values = metrics.scores(predicted, true)
    settings: dict[str, Any] = {"samples": SAMPLES, "seed": seed, "confidence": CONFIDENCE, "progress": progress}
    intervals = metrics.bootstrap(predicted, true, groups=contents, **settings)
    logistic = metrics.fit_logistic(predicted, true)
    return {
        "n": len(evaluated),
        "contents": evaluated.n_contents,
        "score_name": evaluated.score_name,
        "scale": evaluated.scale.to_dict(),
        "trained_on": evaluated.trained_on,
        "data": evaluated.data,
        "caveat": evaluated.caveat,
        "not_calibrated": list(evaluated.not_calibrated),
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
        "intervals": describe_intervals(evaluated, samples=SAMPLES, seed=seed, confidence=CONFIDENCE),
        "no_intervals": list(evaluated.no_intervals),
        "mixture": describe_clusters(evaluated, seed=seed),
        **breakdowns(evaluated, **settings),
    }


def _table(evaluated: Evaluated) -> pd.DataFrame:
    columns = [name for name in ("image", "content", "subset", "kind", "level") if name in evaluated.table]
    table = evaluated.table[columns].reset_index(drop=True)
    shares = evaluated.responsibilities
    on_own_scale = evaluated.scale.from_unit(pd.Series(evaluated.true, dtype="float64"))
    return table.assign(
        **{evaluated.score_name: on_own_scale, "calibrated": evaluated.calibrated},
        score=evaluated.true,
        predicted=evaluated.predicted,
        low=evaluated.low,
        high=evaluated.high,
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
