"""The figures of an evaluation. Each function returns a matplotlib Figure and touches no global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from iqa.evaluation.evaluated import Evaluated, interval_caveat
from iqa.evaluation.plots_samples import choose_samples, sample_predictions
from iqa.evaluation.plots_style import (
    GREY,
    INK,
    RED,
    SCORE_COLOURS,
    Category,
    cluster_categories,
    group_categories,
    new_figure,
    outside_legend,
    solid,
    styled,
)
from iqa.evaluation.plots_training import training_curves
from iqa.metrics import LogisticFit

__all__ = [
    "choose_samples",
    "cluster_distribution",
    "features_embedding",
    "predictions_scatter",
    "sample_predictions",
    "training_curves",
]

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


@styled
def cluster_distribution(evaluated: Evaluated) -> Figure:
    """Pictures per cluster, and a box plot of the true scores per cluster with a red star at each mean.

    Without a mixture the same is shown per group of distortions.
    """
    categories, label, wording = _categories(evaluated)
    crowded = evaluated.n_clusters > 16
    title = f"Test pictures by {wording}"
    figure = new_figure(9.6 + (3.4 if crowded else 0), 4.6, title, evaluated.caveat)
    counts, boxes = figure.subplots(1, 2)
    places = np.arange(len(categories))
    bars = counts.bar(places, [len(c.rows) for c in categories], color=[c.colour for c in categories], width=0.75)
    counts.bar_label(bars, fontsize=6 if crowded else 8, padding=1.5, color=INK)
    counts.set_title(f"Pictures per {label}")
    counts.set_ylabel("pictures")
    counts.margins(y=0.1)
    counts.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _score_boxes(boxes, categories, evaluated.true)
    boxes.set_title(f"True score per {label}")
    boxes.set_ylabel(f"true score ({evaluated.score_name})")
    for axes in (counts, boxes):
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(label)
        axes.set_xlim(-0.6, len(categories) - 0.4)
        slanted = any(len(c.name) > 3 for c in categories)
        axes.set_xticks(
            places,
            [c.name for c in categories],
            rotation=35 if slanted else 0,
            ha="right" if slanted else "center",
            rotation_mode="anchor" if slanted else "default",
            fontsize=7 if crowded else 8,
        )
    return figure


def _categories(evaluated: Evaluated) -> tuple[list[Category], str, str]:
    """How the pictures are told apart: the categories, what one is called, and the words for a title."""
    if evaluated.clusters is not None:
        words = f"cluster of the mixture (largest of {evaluated.n_clusters} responsibilities)"
        return cluster_categories(evaluated.clusters.tolist(), evaluated.n_clusters), "cluster", words
    return group_categories(evaluated.groups), "distortion group", "distortion group (no mixture)"


def _score_boxes(axes: Axes, categories: Sequence[Category], true: NDArray[np.floating]) -> None:
    places = np.concatenate([np.full(len(each.rows), place) for place, each in enumerate(categories)])
    seaborn.boxplot(
        x=places,
        y=true[[row for each in categories for row in each.rows]],
        hue=places,
        order=range(len(categories)),
        hue_order=range(len(categories)),
        palette=[each.colour for each in categories],
        legend=False,
        dodge=False,
        width=0.6,
        showmeans=True,
        meanprops={
            "marker": "*",
            "markerfacecolor": RED,
            "markeredgecolor": "white",
            "markersize": 11 if len(categories) <= 16 else 7,
            "markeredgewidth": 0.6,
            "zorder": 4,
        },
        boxprops={"alpha": 0.6},
        medianprops={"color": INK, "linewidth": 1.3},
        fliersize=2.5,
        linecolor=GREY,
        linewidth=1,
        ax=axes,
    )
    star = Line2D([], [], marker="*", color="none", markerfacecolor=RED, markeredgecolor="white", markersize=11)
    axes.legend([star], ["mean"], loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)


@styled
def features_embedding(
    evaluated: Evaluated,
    coordinates: NDArray[np.floating],
    *,
    title: str,
    axis_labels: tuple[str, str],
    rows: NDArray[np.integer] | None = None,
    ticks: bool = True,
) -> Figure:
    """Features laid out in two dimensions, coloured by true score and by cluster (or distortion group).

    Args:
        coordinates: [n, 2].
        title: names the method and what has to be known about it (explained variance, perplexity).
        rows: [n] the pictures that `coordinates` are of; all of them by default.
        ticks: whether the numbers along the axes mean something; those of t-SNE do not.
    """
    rows = np.arange(len(evaluated)) if rows is None else rows
    figure = new_figure(10.4, 4.9, title, evaluated.caveat)
    by_score, by_category = figure.subplots(1, 2, sharex=True, sharey=True)
    size = float(np.clip(5000 / len(rows), 6, 34))
    look = {"s": size, "alpha": 0.85, "linewidths": 0.25, "edgecolors": "white"}
    points = by_score.scatter(*coordinates.T, c=evaluated.true[rows], cmap=SCORE_COLOURS, **look)
    figure.colorbar(points, ax=by_score, label=f"true score ({evaluated.score_name})", aspect=32, pad=0.015)
    by_score.set_title("By score")
    categories, label, _ = _categories(evaluated)
    place = {int(row): position for position, row in enumerate(rows)}
    shown = 0
    for category in categories:
        kept = [place[row] for row in category.rows if row in place]
        if kept:
            shown += 1
            by_category.scatter(
                *coordinates[kept].T, c=category.colour, marker=category.marker, label=category.name, **look
            )
    by_category.set_title(f"By {label}" + ("" if evaluated.n_clusters else " (no mixture)"))
    outside_legend(by_category, label, shown)
    for axes in (by_score, by_category):
        axes.set_xlabel(axis_labels[0])
        if not ticks:
            axes.tick_params(length=0, labelbottom=False, labelleft=False)
            axes.grid(visible=False)
    by_score.set_ylabel(axis_labels[1])
    return figure
