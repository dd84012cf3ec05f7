"""Features in two dimensions, by score and by cluster."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iqa.evaluation.evaluated import Evaluated
from iqa.plots.categories import categories_of
from iqa.plots.style import SCORE_COLOURS, new_figure, outside_legend, styled


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
    categories, label, _ = categories_of(evaluated)
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
