"""The figure of a study's recommendation: what was confirmed, how surely, and what the guide says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from iqa.plots.style import GREY, PALETTE, RED, new_figure, styled

_GOOD, _WORSE, _GUIDE = PALETTE[2], PALETTE[7], PALETTE[1]
_COLUMNS = 2
_NEAR = 1.3  # factor below which the labels of two rates overlap


@styled
def recommendation(findings: Mapping[str, Any], *, caveat: str | None = None) -> Figure:
    """Validation SRCC of each confirmed setting with its splits, the margin of chance, and the course over epochs.

    Args:
        findings: what recommendations.json holds.
        caveat: a footnote.
    """
    axes_of = {key: axis for key, axis in findings["settings"].items() if axis["evidence"]}
    panels = len(axes_of) + bool(findings["epochs_that_pay"]["value"])
    rows = -(-panels // _COLUMNS)
    change = findings["difference"]
    told = "" if change["mean"] is None else f" ({change['mean']:+.3f} SRCC)"
    title = f"{findings['study']}: tuned against baseline: {change['verdict']}{told}"
    figure = new_figure(9.6, 0.6 + 3.1 * rows, title, caveat)
    grid = np.atleast_1d(figure.subplots(rows, min(_COLUMNS, panels), squeeze=False)).ravel()
    for place, (key, axis) in zip(grid, axes_of.items(), strict=False):
        _panel(place, key, axis, findings["guide"].get(key), findings["baseline"]["values"].get(key))
    if findings["epochs_that_pay"]["value"]:
        _epochs(grid[len(axes_of)], findings["epochs_that_pay"])
    for place in grid[panels:]:
        place.set_axis_off()
    return figure


def _panel(axes: Axes, key: str, axis: Mapping[str, Any], guide: Mapping[str, Any] | None, own: Any) -> None:
    """The means of one setting's values, with a point for each split."""
    evidence: Sequence[Mapping[str, Any]] = [part for part in axis["evidence"] if part["mean"] is not None]
    values = [part["value"] for part in evidence]
    numbers = key == "training.learning_rate"
    places = values if numbers else list(range(len(values)))
    for place, part in zip(places, evidence, strict=True):
        colour = _GOOD if part["good"] else _WORSE
        known = [srcc for srcc in part["srcc"] if srcc is not None]
        axes.plot([place] * len(known), known, "o", color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
        axes.plot(place, part["mean"], "D", color=colour, markersize=6)
    best = max(part["mean"] for part in evidence)
    axes.axhspan(best - axis["margin"], best, color=_GOOD, alpha=0.08, linewidth=0, label="as good as the best")
    if numbers:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticklabels(_told_apart(values), rotation=45, ha="right")
        if guide:
            axes.axvline(guide["guide"], color=_GUIDE, linestyle="--", label=f"guide: {guide['verdict']}")
    else:
        axes.set_xticks(places, [f"{value:g}" if isinstance(value, float) else str(value) for value in values])
        axes.set_xlim(-0.6, len(values) - 0.4)
        if guide:
            low, high = guide["guide"]
            inside = [place for place, value in zip(places, values, strict=True) if low <= value <= high]
            if inside:
                label = f"guide: {guide['verdict']}"
                axes.axvspan(inside[0] - 0.4, inside[-1] + 0.4, color=_GUIDE, alpha=0.15, linewidth=0, label=label)
    chosen = axis["value"]
    if chosen in values:
        place = places[values.index(chosen)]
        mean = evidence[values.index(chosen)]["mean"]
        label = f"recommended: {chosen:g}" if isinstance(chosen, float) else f"recommended: {chosen}"
        axes.plot(place, mean, "*", color=RED, markersize=14, markeredgecolor="white", zorder=5, label=label)
    _leave_room(axes, evidence)
    verdict = "no difference found" if axis["no_difference"] else f"own: {own}" if own is not None else ""
    axes.set_title(f"{key.partition('.')[2].replace('_', ' ')}" + (f"  ({verdict})" if verdict else ""))
    axes.set_ylabel("validation SRCC")
    axes.legend(loc="lower center", frameon=True, framealpha=0.85, edgecolor="none")


def _told_apart(values: Sequence[float]) -> list[str]:
    """Labels for values on a logarithmic axis, none for one too near to the last that has one."""
    labels, last = [], 0.0
    for value in values:
        labels.append(f"{value:.3g}" if value > _NEAR * last else "")
        last = value if labels[-1] else last
    return labels


def _leave_room(axes: Axes, evidence: Sequence[Mapping[str, Any]]) -> None:
    """Show the good values in full; one that trains badly must not flatten the rest."""
    known = np.array([srcc for part in evidence for srcc in part["srcc"] if srcc is not None])
    high, low = float(known.max()), float(known.min())
    middle = float(np.median(known))
    low = max(low, middle - 4 * (high - middle) - 0.02)
    axes.set_ylim(low - 0.45 * (high - low), high + 0.08 * (high - low))


def _epochs(axes: Axes, paying: Mapping[str, Any]) -> None:
    curve = paying["curve"]
    epochs = range(1, len(curve) + 1)
    axes.plot(epochs, curve, color=PALETTE[0], label=f"best so far, mean of {paying['trials']} leading trials")
    axes.axhspan(curve[-1] - paying["noise"], curve[-1], color=GREY, alpha=0.15, linewidth=0, label="within chance")
    axes.axvline(paying["value"], color=RED, linestyle=":", label=f"epoch {paying['value']}")
    axes.set_title("Still rising at the last epoch" if paying["still_rising"] else "When more epochs stop paying")
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation SRCC")
    axes.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none")
