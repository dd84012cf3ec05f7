"""The figure of a comparison: test SRCC, distance to the best, and what an epoch costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from iqa.evaluation.comparison import about_trainings, title
from iqa.plots.style import GREY, PALETTE, RED, new_figure, styled

_BEST, _ALIKE, _APART = PALETTE[2], PALETTE[0], PALETTE[5]
_COLOURS = {"no difference found": _ALIKE, "worse": _APART, "better": RED}
_LETTERS = 44  # that fit beside the panels
_ROW = 0.42  # inches for one experiment


@styled
def comparison(found: Mapping[str, Any]) -> Figure:
    """One row per experiment, the best by validation on top.

    Args:
        found: what `compare_tested` or `compare_splits` returns.
    """
    rows: Sequence[Mapping[str, Any]] = found["experiments"]
    caveat = (
        f"best by validation: {found['best']}; differences: "
        f"{100 * found['confidence']:.0f} % intervals that hold for all of them together; {about_trainings(found)}"
    )
    if found["caveat"]:
        caveat += f"\n{found['caveat']}"
    figure = new_figure(11, 1.7 + _ROW * len(rows), title(found), caveat)
    reached, apart, cost = figure.subplots(1, 3, sharey=True, width_ratios=[3, 3, 2])
    _reached(reached, rows, found["score_name"])
    _apart(apart, rows)
    _cost(cost, rows)
    reached.set_yticks(range(len(rows)), [_label(row) for row in rows])
    reached.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _reached(axes: Axes, rows: Sequence[Mapping[str, Any]], score_name: str) -> None:
    for place, row in enumerate(rows):
        _point(axes, place, row["srcc"], _colour(row))
    axes.set_title("Test SRCC")
    axes.set_xlabel(f"SRCC against {score_name}")
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _apart(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for place, row in enumerate(rows):
        difference = row["difference"]
        if difference is None:
            axes.plot(0, place, "D", color=_BEST, markersize=6)
        elif difference["value"] is None:
            axes.annotate("cannot be told", (0, place), (6, 0), textcoords="offset points", va="center", fontsize=7)
        else:
            _point(axes, place, difference, _colour(row))
    axes.set_title("Against the best")
    axes.set_xlabel("difference in test SRCC")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for verdict, colour in {"best by validation": _BEST, **_COLOURS}.items():
        if verdict in {_verdict(row) for row in rows}:
            axes.plot([], [], "o", color=colour, label=verdict)
    axes.figure.legend(loc="outside upper right", ncols=4, handletextpad=0.1)


def _cost(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        seconds = row["seconds_per_epoch"]
        axes.plot(seconds, place, "o", color=GREY, markersize=5)
        axes.annotate(f"{seconds:.3g} s", (seconds, place), (6, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_xscale("log")
    low, high = (bound([row["seconds_per_epoch"] for row in rows]) for bound in (min, max))
    axes.set_xlim(low / 1.6, high * 3.5)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Training")
    axes.set_xlabel("seconds an epoch")


def _point(axes: Axes, place: int, part: Mapping[str, Any], colour: str) -> None:
    if part["low"] is not None and part["high"] is not None:
        axes.plot([part["low"], part["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    if part["value"] is not None:
        axes.plot(part["value"], place, "o", color=colour, markersize=6, markeredgecolor="white")


def _verdict(row: Mapping[str, Any]) -> str:
    return "best by validation" if row["difference"] is None else str(row["difference"]["verdict"])


def _colour(row: Mapping[str, Any]) -> str:
    return _BEST if row["difference"] is None else _COLOURS.get(_verdict(row), GREY)


def _label(row: Mapping[str, Any]) -> str:
    clusters = f"{row['n_clusters']} clusters" if row["n_clusters"] else "no mixture"
    about = f"{row['backbone']}{', frozen' if row['frozen'] else ''}, {clusters}"
    return f"{_short(row['name'])}\n{_short(about)}"


def _short(text: str) -> str:
    """A line that leaves the panels their room, its middle left out if need be."""
    half = _LETTERS // 2
    return text if len(text) <= _LETTERS else f"{text[:half]}…{text[-half:]}"
