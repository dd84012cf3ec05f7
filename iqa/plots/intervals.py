"""Intervals of a test: how often they hold and how wide they are, and what setting the least certain aside gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iqa.evaluation.evaluated import Evaluated
from iqa.plots.style import GREY, INK, PALETTE, RED, new_figure, styled

#: Parts of fewer pictures say little, and more of them than this do not fit.
FEWEST, MOST_ROWS = 20, 26
#: Breakdowns from top to bottom, and what their parts are called.
PARTS = {"by_cluster": "cluster", "by_subset": "", "by_fifth": "fifth of the score", "by_kind": ""}
WAYS = {"by_width": "by width of interval", "at_random": "at random", "by_error": "knowing the errors"}


@styled
def intervals(evaluated: Evaluated, found: Mapping[str, Any]) -> Figure:
    """Coverage of each part of the pictures with its width, and the curves of risk.

    Args:
        found: what `iqa.evaluation.coverage.describe_intervals` found.
    """
    rows = [("all", {"n": len(evaluated), **{key: found[key]["value"] for key in ("coverage", "width")}})]
    for breakdown, word in PARTS.items():
        parts = [(f"{word} {name}".strip(), part) for name, part in found[breakdown].items() if part["n"] >= FEWEST]
        rows += parts if len(parts) > 1 else []
    rows = rows[:MOST_ROWS]
    title = (
        f"{100 * found['wanted']:.0f} % intervals hold for {100 * found['coverage']['value']:.1f} % of test pictures"
    )
    figure = new_figure(11.5, max(4.6, 1.6 + 0.24 * len(rows)), title, evaluated.caveat)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _coverage(left, rows, found["wanted"])
    _risk(right, found["risk"])
    return figure


def _coverage(axes: Axes, rows: list[tuple[str, dict[str, float]]], wanted: float) -> None:
    places = np.arange(len(rows))[::-1]
    shares = [part["coverage"] for _, part in rows]
    axes.axvline(wanted, color=RED, linestyle="--", linewidth=1)
    axes.hlines(places, wanted, shares, color=GREY, linewidth=1)
    axes.plot(shares, places, "o", color=INK, markersize=5)
    least = min(0.6, *shares)
    for place, (_, part) in zip(places, rows, strict=True):
        axes.annotate(
            f"width {part['width']:.2f}, {part['n']:,.0f} pictures",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            color=GREY,
        )
    axes.set_yticks(places, [name for name, _ in rows], fontsize=8)
    axes.set_xlim(max(0, least - 0.03), 1.005)
    axes.set_xlabel("share of pictures whose true score lies in the interval")
    axes.set_title("Coverage and mean width (of a scale of 1)")
    axes.grid(visible=False, axis="y")


def _risk(axes: Axes, risk: Mapping[str, Any]) -> None:
    """RMSE of what is kept; SRCC of it in the legend: the scale that a selection leaves makes it rise or fall."""
    aside = 100 * np.asarray(risk["set_aside"])
    for colour, (way, label) in zip(PALETTE, WAYS.items(), strict=False):
        values, srcc = np.asarray(risk[f"rmse_{way}"], dtype=float), risk[f"srcc_{way}"]
        ends = " to ".join("?" if each is None else f"{each:.3f}" for each in (srcc[0], srcc[-1]))
        axes.plot(aside, values, marker="o", markersize=4, color=colour, label=f"{label} (SRCC {ends})")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("% of pictures set aside")
    axes.set_ylabel("RMSE of the pictures that are kept")
    axes.set_title("What setting the least certain aside gains")
    axes.legend(loc="lower left", fontsize=7.5)
