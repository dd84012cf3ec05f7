"""From figures to advice: what to set, how sure that is, and what becomes of the guide's word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from iqa.config import ExperimentConfig
from iqa.tuning import advice
from iqa.tuning.confirm import Plan
from iqa.tuning.rule import Comparison, compare, stretch
from iqa.tuning.space import Values

Figures = Sequence[Sequence[float | None]]

#: Below so many completed trials importances describe the trials and no more.
ENOUGH_FOR_IMPORTANCE = 30
#: Of the completed trials, the share whose curves say how many epochs pay.
LEADING = 0.25
RATE, CLUSTERS = "training.learning_rate", "model.n_clusters"


def axis_advice(key: str, plan: Plan, figures: Figures, own: Values) -> dict[str, Any]:
    """What one searched setting should be, the others at the best trial's values.

    The smallest cluster count that is as good as the best; of other settings, the one with the highest mean, and the
    config's own where no difference was found.
    """
    places = plan.axes[key]
    values = [value for value, _ in places]
    comparison = compare([figures[place] for _, place in places])
    ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    good = [value for value, fine in zip(values, comparison.good, strict=True) if fine]
    if key == CLUSTERS:
        chosen = min(good)
    elif comparison.no_difference and key in own:
        chosen = own[key]
    else:
        chosen = values[comparison.best]
    first, last = stretch(comparison) if ordered else (0, 0)
    return {
        "value": chosen,
        "good": good,
        "range": [values[first], values[last]] if ordered else None,
        "no_difference": comparison.no_difference,
        "margin": comparison.margin,
        "evidence": _evidence(values, comparison, [figures[place] for _, place in places]),
    }


def recommended_values(axes: dict[str, dict[str, Any]], best: Values) -> Values:
    """The settings that the advice on each adds up to."""
    return {**best, **{key: part["value"] for key, part in axes.items()}}


def against_guide(config: ExperimentConfig, axes: dict[str, dict[str, Any]], pictures: int) -> dict[str, Any]:
    """What the guide says of learning rate and clusters, and whether the figures bear it out."""
    said: dict[str, Any] = {}
    rate = advice.learning_rate(config.model)
    if RATE in axes and rate is not None:
        said[RATE] = {"guide": rate, "verdict": _judge_rate(rate, axes[RATE])}
    if CLUSTERS in axes:
        low, high = advice.clusters(pictures)
        said[CLUSTERS] = {"guide": [low, high], "verdict": _judge_clusters(low, high, axes[CLUSTERS])}
    return said


def difference(tuned: Sequence[float | None], baseline: Sequence[float | None]) -> dict[str, Any]:
    """Tuned less baseline over the same splits, with the 95 % interval of a paired t-test."""
    from scipy.stats import ttest_rel

    pairs = [(a, b) for a, b in zip(tuned, baseline, strict=True) if a is not None and b is not None]
    if len(pairs) < 2:
        return {"mean": None, "low": None, "high": None, "verdict": "not measured"}
    ours, theirs = np.array(pairs).T
    mean = float((ours - theirs).mean())
    if np.ptp(ours - theirs) == 0:
        low = high = mean
    else:
        low, high = (float(end) for end in ttest_rel(ours, theirs).confidence_interval(0.95))
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference found"
    return {"mean": mean, "low": low, "high": high, "verdict": verdict}


def epochs_that_pay(curves: Sequence[dict[int, float]], epochs: int, noise: float) -> dict[str, Any]:
    """When more epochs stop paying, seen on the curves of the leading trials.

    The first epoch whose best validation SRCC so far comes within `noise` of the last's, on average over the leading
    trials. The schedule of the learning rate belongs to the epochs that were planned: fewer may do even better or
    somewhat worse.

    Args:
        curves: validation SRCC by epoch of completed trials, best trial first.
        epochs: planned ones.
        noise: a difference that does not count.
    """
    leading = list(curves[: max(3, round(LEADING * len(curves)))])
    if not leading:
        return {"value": None, "trials": 0}
    # A training that stopped early stays at what it had reached.
    whole = [[curve.get(epoch, max(curve.values())) for epoch in range(1, epochs + 1)] for curve in leading]
    best_so_far = np.maximum.accumulate(np.array(whole), axis=1)
    mean = best_so_far.mean(axis=0)
    enough = int(np.argmax(mean >= mean[-1] - noise)) + 1
    return {
        "value": enough,
        "planned": epochs,
        "still_rising": bool(enough > 0.9 * epochs and epochs > 1),
        "noise": noise,
        "trials": len(leading),
        "curve": [float(value) for value in mean],
        "guide": advice.EPOCHS,
    }


def summary_of(figures: Sequence[float | None]) -> dict[str, Any]:
    values = np.array([value for value in figures if value is not None])
    return {
        "splits": len(values),
        "mean": float(values.mean()) if len(values) else None,
        "std": float(values.std(ddof=1)) if len(values) > 1 else None,
        "srcc": list(figures),
    }


def _evidence(values: Sequence[Any], comparison: Comparison, figures: Figures) -> list[dict[str, Any]]:
    return [
        {"value": value, "good": bool(fine), **summary_of(row)}
        for value, fine, row in zip(values, comparison.good, figures, strict=True)
    ]


def _judge_rate(rate: float, axis: dict[str, Any]) -> str:
    if axis["no_difference"]:
        return "undecided"
    low, high = axis["range"]
    if low <= rate <= high:
        return "confirmed"
    tried = [part["value"] for part in axis["evidence"]]
    # Between the last good value and the first bad one nothing was measured.
    between = any(a < rate < b for a, b in pairwise(tried) if low in (a, b) or high in (a, b))
    return "undecided" if between or not tried[0] <= rate <= tried[-1] else "contradicted"


def _judge_clusters(low: int, high: int, axis: dict[str, Any]) -> str:
    if axis["no_difference"]:
        return "undecided"
    return "confirmed" if low <= axis["value"] <= high else "contradicted"
