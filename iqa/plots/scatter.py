"""Predicted against true scores, with the metrics in a table beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iqa.evaluation.evaluated import Evaluated, interval_caveat
from iqa.metrics import LogisticFit
from iqa.plots.categories import group_categories
from iqa.plots.style import GREY, INK, RED, new_figure, solid, styled

#: Rows of the table of metrics: name in the results, name in the figure.
_METRIC_LABELS = {
    "srcc": "SRCC",
    "plcc": "PLCC",
    "krcc": "KRCC",
    "rmse": "RMSE",
    "plcc_logistic": "PLCC, logistic",
    "rmse_logistic": "RMSE, logistic",
}


@styled
def predictions_scatter(
    evaluated: Evaluated,
    metrics: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    logistic: LogisticFit | None = None,
) -> Figure:
    """Predicted against true scores with the line of perfect prediction and the metrics with their intervals.

    Args:
        metrics: name -> value, as `iqa.metrics.scores` gives them.
        intervals: name -> (low, high), nan where there is none.
        logistic: the fitted mapping of predictions onto scores, drawn as a curve where it is given.
    """
    figure = new_figure(8.2, 5.4, "Predicted against true quality", evaluated.caveat)
    axes, side = figure.subplots(1, 2, width_ratios=[1, 0.56])
    size = float(np.clip(7500 / len(evaluated), 7, 34))
    groups = group_categories(evaluated.groups)
    for group in groups:
        axes.scatter(
            evaluated.true[group.rows],
            evaluated.predicted[group.rows],
            s=size,
            c=group.colour,
            alpha=0.7,
            linewidths=0.2,
            edgecolors="white",
            label=f"{group.name} ({len(group.rows)})",
        )
    low, high = _limits(evaluated.true, evaluated.predicted)
    axes.plot([low, high], [low, high], "--", color=RED, label="perfect prediction")
    if logistic is not None and np.ptp(evaluated.predicted) > 0:
        across = np.linspace(evaluated.predicted.min(), evaluated.predicted.max(), 200)
        axes.plot(
            logistic(across),
            across,
            color=INK,
            linewidth=1.1,
            label="fitted line" if logistic.linear else "fitted logistic",
        )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(f"true score ({evaluated.score_name})")
    axes.set_ylabel("predicted score")
    side.axis("off")
    _write_metrics(side, metrics, intervals, (_population(evaluated), interval_caveat(evaluated.n_contents)))
    handles, labels = axes.get_legend_handles_labels()
    legend = side.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.02, -0.01), borderaxespad=0)
    solid(legend)
    return figure


def _population(evaluated: Evaluated) -> str:
    text = f"{len(evaluated):,} pictures"
    return text if evaluated.n_contents == len(evaluated) else f"{text} of {evaluated.n_contents:,} contents"


def _write_metrics(
    axes: Axes,
    metrics: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    notes: tuple[str, str],
) -> None:
    """A small table: metric, value, 95 % interval, between what it was measured on and a warning."""
    names = [name for name in _METRIC_LABELS if name in metrics]
    values = [_number(metrics[name]) for name in names]
    bounds = [intervals.get(name, (math.nan, math.nan)) for name in names]
    ranges = ["-" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]" for low, high in bounds]
    rows = [("metric", "value", "95 % interval")]
    rows += zip((_METRIC_LABELS[name] for name in names), values, ranges, strict=True)
    for line, texts in enumerate(rows):
        look = {"color": GREY, "fontsize": 7.5} if line == 0 else {"fontsize": 8.5}
        for text, x, side in zip(texts, (0.0, 0.60, 0.66), ("left", "right", "left"), strict=True):
            axes.text(x, 0.92 - 0.05 * line, text, transform=axes.transAxes, ha=side, va="baseline", **look)
    population, warning = notes
    axes.text(0.0, 1.0, population, transform=axes.transAxes, va="top", fontweight="bold")
    below = 0.92 - 0.05 * len(rows)
    axes.text(0.0, below, warning, transform=axes.transAxes, fontsize=7.5, color=RED)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _limits(true: NDArray[np.floating], predicted: NDArray[np.floating]) -> tuple[float, float]:
    """One range for both axes: what the values need, and all of [0, 1] where the true scores live in it."""
    low = min(float(side.min()) for side in (true, predicted))
    high = max(float(side.max()) for side in (true, predicted))
    if true.min() >= 0 and true.max() <= 1:
        low, high = min(low, 0.0), max(high, 1.0)
    margin = 0.03 * (high - low or 1)
    return low - margin, high + margin
