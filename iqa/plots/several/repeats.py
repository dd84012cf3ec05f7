"""The figure of an experiment on several splits: how far its figures of merit differ from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from iqa.plots.style import GREY, PALETTE, RED, new_figure, styled

_LABELS = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC"}


@styled
def splits(summary: Mapping[str, Any], *, title: str) -> Figure:
    """A point for each split and a line at the median, for each correlation and each subset's SRCC.

    Args:
        summary: what repeats.json holds.
    """
    rows = [(label, "test", name) for name, label in _LABELS.items() if name in summary["test"]]
    rows += [(f"SRCC within {name}", "by_subset", name) for name in summary["by_subset"]]
    figure = new_figure(
        7.2, 1.5 + 0.42 * len(rows), title, "each point is the test of one split; the bar is the median"
    )
    axes = figure.subplots()
    for place, (_, part, name) in enumerate(rows):
        values = [split[part][name] for split in summary["splits"]]
        axes.plot([min(values), max(values)], [place, place], color=GREY, linewidth=1, alpha=0.6)
        axes.plot(values, [place] * len(values), "o", color=PALETTE[0], alpha=0.8, markeredgecolor="white")
        axes.plot(summary[part][name]["median"], place, "|", color=RED, markersize=18, markeredgewidth=2)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("correlation on the test pictures")
    return figure
