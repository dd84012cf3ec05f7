"""Figures of scored pictures that nobody else has scored: how scores spread, and the pictures at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from iqa.plots.style import GREY, INK, PALETTE, RED, new_figure, styled

PSEUDO_CAVEAT = "pseudo-MOS: learned from human means of kinds of distortion, not from scores of pictures"
#: Pictures at either end of a contact sheet.
AT_EACH_END = 16
#: Longest side in pixels of a picture on it.
THUMBNAIL = 320
_COLUMNS = 8
#: Inches: the side of a cell, the caption under it, a heading.
_CELL, _CAPTION, _HEADING = 1.62, 0.3, 0.35
#: Characters of a file name that fit under a picture.
_LONGEST_NAME = 22


@dataclass(frozen=True)
class Shown:
    """A picture on a contact sheet: uint8 [H, W, 3] or None if it cannot be read any more, its name and score."""

    picture: NDArray[np.uint8] | None
    name: str
    score: float


@styled
def score_histogram(scores: NDArray[np.floating], *, score_name: str, title: str, caveat: str | None = None) -> Figure:
    """How N scores [N] spread, with their mean and median.

    Args:
        score_name: what the scores imitate, such as "MOS".
    """
    figure = new_figure(6.4, 3.8, title, caveat)
    axes = figure.subplots()
    axes.hist(scores, bins=_bins(scores), color=PALETTE[0], alpha=0.85, edgecolor="white", linewidth=0.5)
    mean, median = float(np.mean(scores)), float(np.median(scores))
    axes.axvline(mean, color=RED, label=f"mean {mean:.3f}")
    axes.axvline(median, color=INK, linestyle="--", label=f"median {median:.3f}")
    axes.set_xlabel(f"predicted {score_name}, on the model's scale of 0 to 1 (higher is better)")
    axes.set_ylabel("pictures")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.08)
    # Above the axes, where no bar can be.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, borderaxespad=0.2, handlelength=1.6)
    return figure


@styled
def contact_sheet(
    best: Sequence[Shown], worst: Sequence[Shown], *, score_name: str, title: str, caveat: str | None = None
) -> Figure:
    """The best pictures, best first, above the worst, worst first; see `choose_ends`."""
    parts = [(name, shown) for name, shown in (("best", best), ("worst", worst)) if shown]
    columns = min(_COLUMNS, max(len(shown) for _, shown in parts))
    heights = [[_CELL * tallest + _CAPTION for tallest in _tallest(shown, columns)] for _, shown in parts]
    parts_heights = [sum(lines) + _HEADING for lines in heights]
    figure = new_figure(max(_CELL * columns, 5.0), sum(parts_heights) + _HEADING, title, caveat)
    places = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=parts_heights)
    for place, (name, shown), lines in zip(places.flat, parts, heights, strict=True):
        place.suptitle(
            f"{name}{f' {len(shown)}' if len(shown) > 1 else ''} by predicted {score_name}",
            fontsize=10,
            fontweight="bold",
            x=0.012,
            ha="left",
        )
        grid = place.subplots(len(lines), columns, squeeze=False, height_ratios=lines)
        for axes in grid.flat[len(shown) :]:
            axes.axis("off")
        for number, (axes, one) in enumerate(zip(grid.flat, shown, strict=False)):
            _cell(axes, one, _tallest(shown, columns)[number // columns])
    return figure


def choose_ends(scores: NDArray[np.floating], count: int = AT_EACH_END) -> tuple[list[int], list[int]]:
    """Rows of the best and of the worst scores, each from its end inwards; no row is in both.

    Args:
        scores: [N], finite.
        count: at most so many at either end; of fewer than twice as many pictures each is shown once.
    """
    order = [int(row) for row in np.argsort(scores, kind="stable")]
    worst = order[: min(count, len(order) // 2)]
    best = order[len(worst) :][::-1][:count]
    return best, worst


def shorten(name: str, longest: int = _LONGEST_NAME) -> str:
    """The last part of a path, its middle left out where it is long."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name.rpartition("/")[2])
    if len(name) <= longest:
        return name
    tail = longest // 2
    return f"{name[: longest - tail - 1]}…{name[-tail:]}"


def _bins(scores: NDArray[np.floating]) -> list[float]:
    """Edges of equal width; few scores or equal ones get few bins."""
    low, high = float(np.min(scores)), float(np.max(scores))
    if high - low < 1e-6:
        return [low - 0.05, high + 0.05]
    return list(np.linspace(low, high, 1 + int(np.clip(2 * len(scores) ** (1 / 3), 5, 60))))


def _tallest(shown: Sequence[Shown], columns: int) -> list[float]:
    """Height of each line of pictures, as a share of a cell's width; a portrait is fitted into a square."""
    heights = [1.0 if one.picture is None else min(1.0, one.picture.shape[0] / one.picture.shape[1]) for one in shown]
    return [max(heights[start : start + columns]) for start in range(0, len(shown), columns)]


def _cell(axes: Axes, shown: Shown, height: float) -> None:
    """A picture in a cell 1 wide and `height` high, whatever its shape, so that captions of a line are level."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if shown.picture is None:
        axes.text(0.5, height / 2, "no longer\nreadable", ha="center", va="center", fontsize=7, color=GREY)
    else:
        rows, columns = shown.picture.shape[:2]
        scale = min(1 / columns, height / rows)
        left = (1 - columns * scale) / 2
        # Small pictures are shown pixel by pixel: smoothing would hide the very distortions that are scored.
        axes.imshow(
            shown.picture,
            extent=(left, left + columns * scale, 0, rows * scale),
            interpolation="nearest" if max(rows, columns) < 128 else "antialiased",
        )
    axes.set(xlim=(0, 1), ylim=(0, height), aspect="equal")
    axes.set_xlabel(f"{shown.score:.3f}\n{shorten(shown.name)}", fontsize=6.5, labelpad=3, linespacing=1.3)
