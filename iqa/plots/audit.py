"""A set looked into: how its scores spread over the splits, and what pictures that look alike say of them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from iqa.data.audit.auditing import Audit
from iqa.data.manifest import SPLITS
from iqa.plots.style import GREY, INK, PALETTE, RED, new_figure, solid, styled

#: Bars of scores, at most.
BARS = 40


@styled
def audited(audit: Audit, *, title: str) -> Figure:
    """Scores on their own scale by split; beside them, where features tell anything, scores against the expected ones.

    Args:
        title: of the whole figure.
    """
    scores = audit.scores
    suspects = audit.suspects if audit.suspects is not None and audit.suspects.telling else None
    figure = new_figure(9.6 if suspects else 6.4, 4.0, title, None)
    panels = figure.subplots(1, 2 if suspects else 1, squeeze=False)[0]
    _spread(panels[0], scores, audit.found.manifest["split"].to_numpy(dtype=object))
    if suspects:
        _contradicted(panels[1], scores, suspects.expected, suspects.rows)
    return figure


def _spread(axes: Axes, scores: NDArray[np.float64], split: NDArray[np.object_]) -> None:
    """Bars of scores [N], those of the three splits on top of each other."""
    edges = np.histogram_bin_edges(scores, bins=min(BARS, max(5, len(scores) // 8)))
    parts = [scores[split == name] for name in SPLITS]
    labels = [f"{name} ({len(part)})" for name, part in zip(SPLITS, parts, strict=True)]
    colours = PALETTE[: len(parts)]
    axes.hist(parts, edges.tolist(), stacked=True, color=colours, label=labels, edgecolor="white", linewidth=0.4)
    axes.set_title("scores by split")
    axes.set_xlabel("score, on the scale of the table")
    axes.set_ylabel("pictures")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.22)
    axes.legend(loc="upper center", ncols=len(parts), handlelength=1.2, columnspacing=1.2)


def _contradicted(
    axes: Axes, scores: NDArray[np.float64], expected: NDArray[np.float64], rows: NDArray[np.integer]
) -> None:
    """Scores [N] against what pictures that look alike make one expect [N]; suspects in red."""
    known = np.isfinite(expected)
    odd = np.zeros(len(scores), dtype=bool)
    odd[rows] = True
    usual = known & ~odd
    low, high = (float(end(np.concatenate([scores[known], expected[known]]))) for end in (np.min, np.max))
    axes.plot([low, high], [low, high], color=INK, linestyle="--", linewidth=0.9)
    axes.scatter(expected[usual], scores[usual], s=9, color=GREY, alpha=0.45, linewidths=0, label="others")
    axes.scatter(expected[odd], scores[odd], s=22, color=RED, linewidths=0, label=f"suspects ({odd.sum()})")
    axes.set_title("scores that look-alikes contradict")
    axes.set_xlabel("score expected from pictures that look alike")
    axes.set_ylabel("score in the table")
    solid(axes.legend(loc="lower right"))
