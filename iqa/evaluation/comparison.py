"""Tested experiments side by side: what each reached, and which differences are more than chance.

The candidate for 'best' is named by validation; the test pictures, which are the same for all, only tell how far the
others are from it. All are resampled together (Efron and Tibshirani, 1993, chapter 13), so that what makes a picture
hard for every model cancels out; intervals are widened for the number of comparisons (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iqa import metrics
from iqa.errors import UserError
from iqa.evaluation.evaluated import interval_caveat
from iqa.evaluation.report import CONFIDENCE
from iqa.evaluation.tested import MEASURES, Contender
from iqa.resampling import resampled_rows

#: More than an interval of one model takes: the bounds of a widened one lie further out.
SAMPLES = 2000


def compare_tested(contenders: Sequence[Contender], *, samples: int = SAMPLES, seed: int = 0) -> dict[str, Any]:
    """Which of A experiments is best, and how sure that is.

    Returns:
        What comparison.json holds, as plain values: `best` (by validation SRCC), and for each experiment, the best
        first, its facts, its test figures with their 95 % intervals and `difference`: its test SRCC minus that of the
        best, with an interval that holds for all differences together and a verdict.

    Raises:
        UserError: they were tested on different pictures.
    """
    first = contenders[0]
    for other in contenders[1:]:
        check_same_pictures(first, other)
    order = sorted(contenders, key=lambda each: _or_lowest(each.facts["val_srcc"]), reverse=True)
    distances = differences(order, samples=samples, seed=seed)
    caveats = first.results["caveat"], interval_caveat(first.results["contents"])
    return {
        "n": len(first.table),
        "splits": 1,
        "contents": first.results["contents"],
        "score_name": first.results["score_name"],
        "caveat": "; ".join(each for each in caveats if each) or None,
        "best": order[0].name,
        "chosen_by": "validation SRCC",
        "confidence": CONFIDENCE,
        "experiments": [
            {**each.facts, **{name: each.results["metrics"][name] for name in MEASURES}, "difference": difference}
            for each, difference in zip(order, distances, strict=True)
        ],
    }


def as_rows(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """One flat row per experiment, for a table."""
    rows = []
    for experiment in comparison["experiments"]:
        row = {key: value for key, value in experiment.items() if not isinstance(value, dict)}
        for name in (*MEASURES, "difference"):
            part = experiment[name] or {}
            row |= {name: part.get("value"), f"{name}_low": part.get("low"), f"{name}_high": part.get("high")}
        rows.append({**row, "verdict": (experiment["difference"] or {}).get("verdict", "best by validation")})
    return rows


def as_markdown(comparison: dict[str, Any], links: Mapping[str, str | None] | None = None) -> str:
    """The comparison for a reader.

    Args:
        links: addresses of experiments, by name.
    """
    known = links or {}
    lines = [
        f"# {title(comparison)}",
        "",
        f"Judged against {comparison['score_name']}"
        + (f" ({comparison['caveat']})" if comparison["caveat"] else "")
        + f". Best by validation: **{comparison['best']}**. Differences are in test SRCC, with intervals that hold for "
        f"all of them together ({100 * comparison['confidence']:.0f} %); {about_trainings(comparison)}.",
        "",
        "| experiment | backbone | clusters | validation SRCC | test SRCC | PLCC | KRCC | RMSE | width of intervals "
        "| against the best | s an epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in comparison["experiments"]:
        frozen = " (frozen)" if row["frozen"] else ""
        figures = " | ".join(_figure(row[name]["value"]) for name in MEASURES[1:])
        lines.append(
            f"| {_linked(row['name'], known)} | {row['backbone']}{frozen} | {row['n_clusters']} "
            f"| {_figure(row['val_srcc'])} | {_figure(row['srcc']['value'])}{_interval(row['srcc'])} | {figures} "
            f"| {_figure(row['interval_width'])} | {_difference(row['difference'])} "
            f"| {row['seconds_per_epoch']:.3g} |"
        )
    return "\n".join(lines) + "\n"


def _linked(name: str, links: Mapping[str, str | None]) -> str:
    return f"[{name}]({links[name]})" if links.get(name) else name


def title(comparison: Mapping[str, Any]) -> str:
    """What was compared, and on how many pictures."""
    count, splits = len(comparison["experiments"]), comparison["splits"]
    pictures = f"{comparison['n']:,} test pictures"
    return f"{count} experiments on the same {pictures}" + (f" of each of {splits} splits" if splits > 1 else "")


def about_trainings(comparison: Mapping[str, Any]) -> str:
    """What the figures are of, and what the other intervals are."""
    if comparison["splits"] == 1:
        return "each was trained once, and another seed would move it too"
    return f"each was trained {comparison['splits']} times; figures are means, with the least and the greatest"


def differences(order: Sequence[Contender], *, samples: int = SAMPLES, seed: int = 0) -> list[dict[str, Any] | None]:
    """Of each one's test SRCC to that of the first; None for the first itself.

    All must have been tested on the same pictures.
    """
    true = order[0].table["score"].to_numpy(dtype=np.float64)
    predicted = [each.table["predicted"].to_numpy(dtype=np.float64) for each in order]
    contents = order[0].table["content"].astype(str).to_numpy()
    whole = np.array([metrics.srcc(scores, true) for scores in predicted])
    draws = [
        [metrics.srcc(scores[rows], true[rows]) for scores in predicted]
        for rows in resampled_rows(len(true), contents, samples, seed)
    ]
    tail = (1 - CONFIDENCE) / 2 / max(1, len(order) - 1)
    found: list[dict[str, Any] | None] = [None]
    for place in range(1, len(order)):
        drawn = np.array([draw[place] - draw[0] for draw in draws])
        drawn = drawn[np.isfinite(drawn)]
        bounds = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
        found.append(told(whole[place] - whole[0], *bounds))
    return found


def told(difference: float, low: float, high: float) -> dict[str, Any]:
    """A difference to the best with its interval, and what it says; NaN where nothing can be said."""
    if not np.isfinite([difference, low, high]).all():
        return {"value": None, "low": None, "high": None, "verdict": "cannot be told"}
    verdict = "worse" if high < 0 else "better" if low > 0 else "no difference found"
    return {"value": float(difference), "low": float(low), "high": float(high), "verdict": verdict}


def check_same_pictures(first: Contender, other: Contender) -> None:
    """Two experiments were tested on the same pictures.

    Raises:
        UserError: they were not.
    """
    if difference := difference_in_pictures(first, other):
        raise UserError(
            f"{first.name} and {other.name} were tested on different pictures or scores",
            got=difference,
            fix="give all configs the same data section, and test again what was tested before it changed",
        )


def difference_in_pictures(first: Contender, other: Contender) -> str:
    """How two tests differ in their pictures, by name and score; "" where they do not."""
    ours, theirs = (each.table[["image", "score"]] for each in (first, other))
    if ours.equals(theirs):
        return ""
    shared = len(ours.merge(theirs))
    return f"{len(ours)} and {len(theirs)} test pictures, {shared} of them the same, score included"


def _or_lowest(value: float | None) -> float:
    return -np.inf if value is None else value


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(part: dict[str, Any]) -> str:
    return "" if part["low"] is None else f" [{part['low']:.3f}, {part['high']:.3f}]"


def _difference(part: dict[str, Any] | None) -> str:
    if part is None:
        return "best"
    if part["value"] is None:
        return str(part["verdict"])
    return f"{part['value']:+.3f} [{part['low']:+.3f}, {part['high']:+.3f}]: {part['verdict']}"
