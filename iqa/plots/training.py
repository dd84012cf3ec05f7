"""The figure of how a training went, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from iqa.errors import UserError
from iqa.plots.style import GREY, PALETTE, RED, new_figure, styled

_TRAIN, _VALIDATION = PALETTE[0], PALETTE[5]
#: Learning rates whose extremes differ by less than this factor do not need a logarithmic axis.
_VARIES = 1.001


@styled
def training_curves(
    history: Sequence[Mapping[str, Any]], *, best_epoch: int | None = None, caveat: str | None = None
) -> Figure:
    """Losses, SRCC, PLCC and learning rate over the epochs, with the best epoch marked.

    Args:
        history: a record per epoch, as `EpochRecord.to_dict` gives them; a figure may be None or NaN.
        best_epoch: the epoch with the best validation SRCC, whose weights were kept, if there is one.
        caveat: a footnote.

    Raises:
        UserError: no epoch was recorded.
    """
    if not history:
        raise UserError("no epoch was recorded, so there are no training curves")
    epochs = np.array([record["epoch"] for record in history], dtype=np.float64)
    title = "Training" if best_epoch is None else f"Training: best epoch {best_epoch}, by validation SRCC"
    figure = new_figure(9.6, 6.2, title, caveat)
    panels = figure.subplots(2, 2, sharex=True)
    for axes, name, title in zip(panels.flat, ("loss", "srcc", "plcc"), ("Loss", "SRCC", "PLCC"), strict=False):
        _pair_of_curves(axes, epochs, history, name)
        axes.set_title(title)
        _mark_best(axes, epochs, _column(history, f"val_{name}"), best_epoch)
        axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    _learning_rate(panels[1, 1], epochs, _column(history, "learning_rate"))
    _mark_best(panels[1, 1], epochs, _column(history, "learning_rate"), best_epoch, star=False)
    for axes in panels[1]:
        axes.set_xlabel("epoch")
    panels[0, 0].set_xlim(*_epoch_limits(epochs))
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    return figure


def _column(history: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    values = (record.get(name) for record in history)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _epoch_limits(epochs: NDArray[np.float64]) -> tuple[float, float]:
    margin = max(0.5, 0.02 * float(np.ptp(epochs)))
    return float(epochs.min()) - margin, float(epochs.max()) + margin


def _pair_of_curves(axes: Axes, epochs: NDArray[np.float64], history: Sequence[Mapping[str, Any]], name: str) -> None:
    for part, label, colour in (("train", "training", _TRAIN), ("val", "validation", _VALIDATION)):
        values = _column(history, f"{part}_{name}")
        if np.isfinite(values).any():
            _curve(axes, epochs, values, colour, label)
        else:
            axes.plot([], [], color=colour, label=f"{label}: not recorded")


def _curve(axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64], colour: str, label: str) -> None:
    """A line with a point per epoch while there are few, so that one epoch alone or between gaps is seen."""
    axes.plot(epochs, values, color=colour, marker="o", markersize=3 if len(epochs) <= 40 else 1.5, label=label)


def _mark_best(
    axes: Axes,
    epochs: NDArray[np.float64],
    values: NDArray[np.float64],
    best_epoch: int | None,
    *,
    star: bool = True,
) -> None:
    if best_epoch is None:
        return
    axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
    at = values[epochs == best_epoch]
    if star and len(at) and np.isfinite(at[0]):
        label = f"epoch {best_epoch}: {at[0]:.3f}"
        axes.plot(
            best_epoch,
            at[0],
            linestyle="none",
            marker="*",
            color=RED,
            markersize=12,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=5,
            label=label,
        )


def _learning_rate(axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    axes.set_title("Learning rate")
    _curve(axes, epochs, values, PALETTE[2], "learning rate")
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and positive.max() > _VARIES * positive.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        if positive.max() > 10 * positive.min():
            axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.set_ylim(bottom=0)
