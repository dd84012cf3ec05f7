"""Metrics of parts of the test pictures: by distortion, cluster, subset and content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iqa import metrics
from iqa.data.manifest import PRISTINE
from iqa.evaluation.evaluated import NO_GROUP, PSEUDO, Evaluated, order

#: A correlation of fewer pictures than this says nothing and is left out.
MIN_PICTURES = 5


def breakdowns(
    evaluated: Evaluated, *, samples: int, seed: int, confidence: float, progress: bool | None = False
) -> dict[str, dict[str, Any]]:
    """Metrics per subset, kind, level and group of distortion, cluster and content; empty where there are none.

    Args:
        samples, seed, confidence, progress: of the intervals of the subsets' SRCC; see `iqa.metrics.bootstrap`.

    Returns:
        breakdown -> part -> n and metrics, None in parts of fewer than MIN_PICTURES pictures.
    """
    clusters = evaluated.clusters
    numbers = [] if clusters is None else [str(cluster) for cluster in clusters]
    return {
        "by_kind": _by(evaluated, evaluated.kinds, order(evaluated.kinds)),
        "by_level": _by(evaluated, _levels(evaluated), sorted(set(_levels(evaluated)))),
        "by_group": _by(evaluated, evaluated.groups, order(evaluated.groups)),
        "by_cluster": _by(evaluated, numbers, [str(k) for k in range(evaluated.n_clusters)]),
        "by_subset": _by_subset(evaluated, samples, seed, confidence, progress),
        "by_content": _by_content(evaluated),
    }


def _by_subset(
    evaluated: Evaluated, samples: int, seed: int, confidence: float, progress: bool | None
) -> dict[str, Any]:
    """Metrics within each subset, with an interval of the SRCC: subsets are what published tables compare."""
    parts = _by(evaluated, evaluated.subsets, sorted(set(evaluated.subsets)))
    contents, subsets = evaluated.table["content"].astype(str).to_numpy(), np.array(evaluated.subsets)
    for name, part in parts.items():
        rows = subsets == name
        if part["n"] < MIN_PICTURES:
            continue
        intervals = metrics.bootstrap(
            evaluated.predicted[rows],
            evaluated.true[rows],
            samples=samples,
            seed=seed,
            confidence=confidence,
            groups=contents[rows],
            progress=progress,
        )
        part["srcc_low"], part["srcc_high"] = intervals["srcc"]
    return parts


def _by_content(evaluated: Evaluated) -> dict[str, Any]:
    """Metrics within each content of people's scores that has pictures enough.

    Within a content what the picture shows is the same, so that its quality alone is left to be ranked.
    """
    labels = evaluated.table["content"].astype(str).tolist()
    counts = pd.Series(labels).value_counts()
    names = sorted(counts.index[counts >= MIN_PICTURES]) if evaluated.score_name != PSEUDO else []
    return _by(evaluated, labels, names)


def _levels(evaluated: Evaluated) -> list[str]:
    """[N] level of each distorted picture; NO_GROUP for those that have none."""
    undistorted = (NO_GROUP, PRISTINE)
    return [
        NO_GROUP if kind in undistorted or pd.isna(level) else str(int(level))
        for kind, level in zip(evaluated.kinds, evaluated.table["level"], strict=True)
    ]


def _by(evaluated: Evaluated, labels: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    of = np.array(labels)
    return {
        name: _part(evaluated.predicted[of == name], evaluated.true[of == name]) for name in names if name != NO_GROUP
    }


def _part(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> dict[str, Any]:
    if len(true) < MIN_PICTURES:
        return {"n": len(true), "srcc": None, "plcc": None, "krcc": None, "rmse": None}
    measures = {"srcc": metrics.srcc, "plcc": metrics.plcc, "krcc": metrics.krcc, "rmse": metrics.rmse}
    return {"n": len(true), **{name: measure(predicted, true) for name, measure in measures.items()}}
