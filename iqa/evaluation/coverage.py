"""Whether intervals hold: how often, how wide, for whom; and whether narrow ones mark the pictures judged best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa import metrics
from iqa.evaluation.breakdowns import MIN_PICTURES
from iqa.evaluation.evaluated import NO_GROUP, Evaluated, order
from iqa.resampling import resampled_rows

#: Shares of the pictures that are set aside, the least certain first.
SET_ASIDE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FIFTHS = 5
#: Draws of what setting aside at random would give.
DRAWS = 50

Row = NDArray[np.bool_]


def describe_intervals(evaluated: Evaluated, *, samples: int, seed: int, confidence: float) -> dict[str, Any] | None:
    """Coverage and width of the intervals, and the curve of risk over coverage; None where there are none.

    Returns:
        `coverage` and `width` overall with bootstrap intervals over contents, and per component, subset, kind of
        distortion and fifth of the predicted score; `risk`: SRCC and RMSE of what is kept when the least certain are
        set aside, within subsets too, against setting aside at random and against knowing the errors.
    """
    if evaluated.low is None or evaluated.high is None:
        return None
    holds = (evaluated.low <= evaluated.true) & (evaluated.true <= evaluated.high)
    width = np.asarray(evaluated.high - evaluated.low, dtype=np.float64)
    contents = evaluated.table["content"].astype(str).to_numpy()
    rows = list(resampled_rows(len(evaluated), contents, samples, seed))
    tail = 50 * (1 - confidence)
    ends = {
        name: np.percentile([values[each].mean() for each in rows], [tail, 100 - tail]) if rows else (np.nan, np.nan)
        for name, values in (("coverage", holds), ("width", width))
    }
    rank = np.argsort(np.argsort(evaluated.predicted, kind="stable"))
    fifths = [str(1 + FIFTHS * place // len(evaluated)) for place in rank]
    clusters = [] if evaluated.clusters is None else [str(each) for each in evaluated.clusters]
    return {
        "wanted": evaluated.coverage,
        "coverage": {"value": holds.mean(), "low": ends["coverage"][0], "high": ends["coverage"][1]},
        "width": {"value": width.mean(), "low": ends["width"][0], "high": ends["width"][1]},
        "by_cluster": _by(holds, width, clusters, [str(k) for k in range(evaluated.n_clusters)]),
        "by_subset": _by(holds, width, evaluated.subsets, sorted(set(evaluated.subsets))),
        "by_kind": _by(holds, width, evaluated.kinds, order(evaluated.kinds)),
        "by_fifth": _by(holds, width, fifths, sorted(set(fifths))),
        "risk": _risk(evaluated, width, seed),
    }


def _by(holds: Row, width: NDArray[np.float64], labels: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    of = np.array(labels)
    return {
        name: {"n": int((of == name).sum()), "coverage": holds[of == name].mean(), "width": width[of == name].mean()}
        for name in names
        if name != NO_GROUP and (of == name).any()
    }


def _risk(evaluated: Evaluated, width: NDArray[np.float64], seed: int) -> dict[str, list[float | None]]:
    """What is left when pictures are set aside: by width, by width within subsets, by their errors, at random."""
    error, random = np.abs(evaluated.error), np.random.default_rng(seed)
    subsets = np.array(evaluated.subsets)
    curves: dict[str, list[float | None]] = {"set_aside": list(SET_ASIDE)}
    draws = [random.random(len(evaluated)) for _ in range(DRAWS)]
    for share in SET_ASIDE:
        kept = {
            "by_width": _kept(width, subsets, share, within=False),
            "within_subsets": _kept(width, subsets, share, within=True),
            "by_error": _kept(error, subsets, share, within=False),
        }
        found = {name: _figures(evaluated, rows) for name, rows in kept.items()}
        # Of each subset by itself, so that its differences from others make no part of it.
        parts = [kept["within_subsets"] & (subsets == name) for name in np.unique(subsets)]
        within = [_figures(evaluated, part)["srcc"] for part in parts if part.sum() >= MIN_PICTURES]
        found["within_subsets"]["srcc"] = float(np.mean(within)) if within else float("nan")
        drawn = [_figures(evaluated, _kept(each, subsets, share, within=False)) for each in draws]
        found["at_random"] = {name: float(np.mean([each[name] for each in drawn])) for name in ("srcc", "rmse")}
        for way, figures in found.items():
            for name, value in figures.items():
                curves.setdefault(f"{name}_{way}", []).append(value)
    return curves


def _kept(doubt: NDArray[np.floating], subsets: NDArray[np.str_], share: float, *, within: bool) -> Row:
    """All but the share of pictures with the largest doubt, of all or of each subset."""
    kept = np.zeros(len(doubt), dtype=bool)
    parts = [subsets == name for name in np.unique(subsets)] if within else [np.ones(len(doubt), dtype=bool)]
    for part in parts:
        places = np.flatnonzero(part)
        order_ = np.argsort(doubt[places], kind="stable")
        kept[places[order_[: max(2, round((1 - share) * len(places)))]]] = True
    return kept


def _figures(evaluated: Evaluated, rows: Row) -> dict[str, float]:
    predicted, true = evaluated.predicted[rows], evaluated.true[rows]
    return {"srcc": metrics.srcc(predicted, true), "rmse": metrics.rmse(predicted, true)}
