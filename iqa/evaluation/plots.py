"""The figures of an evaluation. Each function returns a matplotlib Figure and touches no global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from iqa.evaluation.evaluated import Evaluated
from iqa.evaluation.plots_samples import choose_samples, sample_predictions
from iqa.evaluation.plots_scatter import predictions_scatter
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
    styled,
)
from iqa.evaluation.plots_training import training_curves

__all__ = [
    "choose_samples",
    "cluster_distribution",
    "features_embedding",
    "predictions_scatter",
    "sample_predictions",
    "training_curves",
]


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
