"""How many pictures each cluster holds, and how their true scores spread."""

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
from iqa.plots.categories import Category, categories_of
from iqa.plots.style import GREY, INK, RED, new_figure, styled


@styled
def cluster_distribution(evaluated: Evaluated) -> Figure:
    """Pictures per cluster, and a box plot of the true scores per cluster with a red star at each mean.

    Without a mixture the same is shown per group of distortions.
    """
    categories, label, wording = categories_of(evaluated)
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
