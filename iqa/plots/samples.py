"""The figure of sixteen test pictures with what the model said of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iqa.data.manifest import PRISTINE
from iqa.evaluation.evaluated import NO_GROUP, Evaluated
from iqa.plots.categories import pretty
from iqa.plots.style import INK, RED, new_figure, styled

_SAMPLES = 16
#: Characters of a file name that fit over a picture.
_LONGEST_NAME = 36


@styled
def sample_predictions(evaluated: Evaluated) -> Figure:
    """Sixteen pictures by true score with prediction, truth, cluster and error; see `choose_samples`."""
    chosen, worst = choose_samples(evaluated.true, evaluated.error)
    columns = min(4, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    figure = new_figure(
        max(2.45 * columns, 6.0),
        2.75 * lines + 0.9,
        f"{len(chosen)} test pictures, from worst to best true score",
        _sample_note(evaluated),
    )
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.axis("off")
    for axes, row in zip(grid.flat, chosen, strict=False):
        _sample(axes, evaluated, row, worst=row == worst)
    return figure


def choose_samples(true: NDArray[np.floating], error: NDArray[np.floating]) -> tuple[list[int], int]:
    """Sixteen rows that span the scale: the pictures are cut into sixteen bands of rising true score, and the
    picture with the median miss of each band is shown, so that the choice does not flatter. The worst miss of
    all stands for its band.

    Returns:
        the rows in order of true score, and the row of the worst miss.
    """
    miss = np.abs(error)
    worst = int(np.argmax(miss))
    chosen = []
    for band in np.array_split(np.argsort(true, kind="stable"), min(_SAMPLES, len(true))):
        typical = band[np.argsort(miss[band], kind="stable")[len(band) // 2]]
        chosen.append(worst if worst in band else int(typical))
    return sorted(chosen, key=lambda row: (true[row], row)), worst


def _sample_note(evaluated: Evaluated) -> str:
    shown = "All pictures" if len(evaluated) <= _SAMPLES else "Each picture has the median miss of its band of scores"
    note = f"{shown}; in red, the worst miss of all."
    return f"{note}\n{evaluated.caveat}" if evaluated.caveat else note


def _sample(axes: Axes, evaluated: Evaluated, row: int, *, worst: bool) -> None:
    picture = evaluated.thumbnail(row)
    # Small pictures are shown pixel by pixel: smoothing would hide the very distortions that are scored.
    axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) < 128 else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color=RED if worst else "#c9ced4", linewidth=2.5 if worst else 0.8)
    name = _caption(evaluated, row)
    axes.set_title(name, fontsize=7.5, pad=3, color=RED if worst else INK)
    cluster = "" if evaluated.clusters is None else f"cluster {evaluated.clusters[row]}"
    parts = [
        f"error {evaluated.error[row]:+.3f}",
        *([cluster] if cluster else []),
        *(["worst miss"] if worst else []),
    ]
    axes.set_xlabel(
        f"predicted {evaluated.predicted[row]:.3f}, true {evaluated.true[row]:.3f}\n{'   '.join(parts)}",
        fontsize=7.5,
        labelpad=3,
        loc="left",
        color=RED if worst else INK,
    )


def _caption(evaluated: Evaluated, row: int) -> str:
    """Kind and level of distortion; the file's name where there is none."""
    kind, level = evaluated.kinds[row], evaluated.table["level"].iloc[row]
    if kind == NO_GROUP:
        file = str(evaluated.table["image"].iloc[row])
        return file if len(file) <= _LONGEST_NAME else "..." + file[3 - _LONGEST_NAME :]
    if kind == PRISTINE or pd.isna(level):
        return pretty(kind)
    return f"{pretty(kind)}, level {int(level)}"
