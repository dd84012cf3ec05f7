"""Experiments that were each trained on several splits, side by side.

What two models differ by on one split is chance in part: their seeds, and which pictures were drawn. The splits share
most of their training pictures, so their differences are more alike than independent ones would be, and the usual t
test finds differences that are not there; its variance is corrected for it (Nadeau and Bengio, Machine Learning 52,
2003, equation 9). Intervals are widened for the number of comparisons (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from iqa.errors import UserError
from iqa.evaluation.comparison import check_same_pictures, told
from iqa.evaluation.report import CONFIDENCE
from iqa.evaluation.tested import MEASURES, Contender


def compare_splits(names: Sequence[str], contenders: Sequence[Sequence[Contender]]) -> dict[str, Any]:
    """Which of A experiments is best, by their figures on S splits each.

    Args:
        names: of the experiments [A].
        contenders: each one's trainings, in the order of the splits [A][S].

    Returns:
        The same as `iqa.evaluation.comparison.compare_tested`, with means over the splits, and least and greatest as
        bounds.

    Raises:
        UserError: fewer than two splits, or they were tested on different pictures.
    """
    first = contenders[0]
    if len(first) < 2:
        raise UserError("one split has no spread", got=len(first), expected="two splits or more")
    for other in contenders[1:]:
        for ours, theirs in zip(first, other, strict=True):
            check_same_pictures(ours, theirs)
    validation = [_mean([each.facts["val_srcc"] for each in trainings]) for trainings in contenders]
    order = sorted(range(len(names)), key=lambda place: _or_lowest(validation[place]), reverse=True)
    best = contenders[order[0]]
    return {
        "n": int(np.median([len(each.table) for each in first])),
        "splits": len(first),
        "contents": first[0].results["contents"],
        "score_name": first[0].results["score_name"],
        "caveat": first[0].results["caveat"],
        "best": names[order[0]],
        "chosen_by": "mean validation SRCC",
        "confidence": CONFIDENCE,
        "experiments": [
            {
                **_facts(names[place], contenders[place], validation[place]),
                **{name: _over(contenders[place], name) for name in MEASURES},
                "difference": _difference(contenders[place], best, len(names) - 1) if place != order[0] else None,
            }
            for place in order
        ],
    }


def _facts(name: str, trainings: Sequence[Contender], validation: float | None) -> dict[str, Any]:
    def median(key: str) -> float:
        return float(np.median([each.facts[key] for each in trainings]))

    timed = {key: median(key) for key in ("epochs", "best_epoch", "seconds_per_epoch", "images_per_second")}
    widths = [each.facts["interval_width"] for each in trainings if each.facts["interval_width"] is not None]
    width = float(np.median(widths)) if len(widths) == len(trainings) else None
    return {**trainings[0].facts, **timed, "name": name, "val_srcc": validation, "interval_width": width}


def _over(trainings: Sequence[Contender], measure: str) -> dict[str, float | None]:
    figures = [each.results["metrics"][measure]["value"] for each in trainings]
    return {
        "value": _mean(figures),
        "low": _of(figures, np.min),
        "high": _of(figures, np.max),
    }


def _difference(trainings: Sequence[Contender], best: Sequence[Contender], comparisons: int) -> dict[str, Any]:
    """Mean difference in test SRCC to the best, by pairs of the same split."""
    ours, theirs = (
        np.array([each.results["metrics"]["srcc"]["value"] for each in side], dtype=np.float64)
        for side in (trainings, best)
    )
    differences, count = ours - theirs, len(trainings)
    shared = float(np.mean([each.facts["test_share"] for each in best]))
    error = np.sqrt((1 / count + shared) * differences.var(ddof=1))
    reach = float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / comparisons, count - 1) * error)
    mean = float(differences.mean())
    return told(mean, mean - reach, mean + reach)


def _mean(figures: Sequence[float | None]) -> float | None:
    return _of(figures, np.mean)


def _of(figures: Sequence[float | None], summary: Callable[[Any], Any]) -> float | None:
    """A summary of figures; None where one of them is."""
    return None if any(figure is None for figure in figures) else float(summary(figures))


def _or_lowest(value: float | None) -> float:
    return -np.inf if value is None else value
