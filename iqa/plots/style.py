"""The look that all figures share: sizes, fonts, colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from textwrap import fill
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.ticker import NullFormatter

from iqa.errors import first_line
from iqa.files import atomic_write

P = ParamSpec("P")

log = logging.getLogger(__name__)

DPI = 200
RED = "#c1121f"
GREY = "#6c757d"
INK = "#22272e"
SCORE_COLOURS = "cividis"
#: Okabe and Ito's palette (Color Universal Design, 2008), its yellow darkened to be seen on white.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a400", "#4d4d4d")
#: Names in a legend that can still be told apart, in figures that other libraries drew.
_LONGEST_LEGEND = 12
#: Letters of a footnote that fit into an inch.
_NOTE_LETTERS = 18

#: Fonts with Chinese, Japanese and Korean letters, as systems bring them.
_FURTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB"),
    *("Heiti SC", "Arial Unicode MS", "Droid Sans Fallback", "Noto Sans CJK KR"),
)
_STYLE: dict[Any, Any] = {
    # Names of files and groups are text of a user's: a dollar sign in them begins no formula.
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8d96a0",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.facecolor": "white",
}


@cache
def _fonts() -> tuple[str, ...]:
    """DejaVu Sans, and after it the installed fonts that have what it lacks."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _FURTHER_FONTS if name in installed))


def _style() -> dict[Any, Any]:
    return {**_STYLE, "font.family": list(_fonts())}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in this style and leave matplotlib's settings as they were."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_style()):
            return draw(*args, **kwargs)

    return with_style


@contextmanager
def settings_kept() -> Iterator[None]:
    """Give back matplotlib's settings when the block ends, whatever was drawn in it."""
    with mpl.rc_context():
        yield


def new_figure(width: float, height: float, title: str, caveat: str | None) -> Figure:
    """A figure of `width` x `height` inches; one that pyplot does not know, so nothing has to be closed."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09, wspace=0.03, hspace=0.03)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    figure.suptitle(title, fontsize=12, fontweight="bold", x=0.012, ha="left")
    if caveat:
        lines = [fill(line, int(width * _NOTE_LETTERS)) for line in caveat.splitlines()]
        figure.supxlabel("\n".join(lines), fontsize=7, color=GREY, x=0.012, ha="left", style="italic")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG, whole or not at all."""
    atomic_write(path, lambda file: file.write(_rendered(figure)))


def save_drawn_by(draw: Callable[[], Figure | None], path: Path) -> bool:
    """Draw a figure and write it as PNG; one that cannot be drawn is told and left out, for numbers are worth more.

    An older file of this name goes where there is no figure.

    Returns:
        whether there is one.

    Raises:
        IqaError: no room on the disk.
    """
    content = None
    try:
        if (figure := draw()) is not None:
            content = _rendered(figure)
    except Exception as error:
        log.warning("warning: the figure %s cannot be drawn: %s", path.name, first_line(error))
    if content is None:
        path.unlink(missing_ok=True)
        return False
    picture = content
    atomic_write(path, lambda file: file.write(picture))
    return True


def _rendered(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(_style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn in its place
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def outside_legend(axes: Axes, title: str, entries: int) -> None:
    """A legend to the right of `axes`, in columns where it is long."""
    legend = axes.legend(
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        borderaxespad=0,
        ncols=1 + (entries - 1) // 16,
        handletextpad=0.3,
        columnspacing=0.8,
        alignment="left",
        title_fontproperties={"weight": "bold", "size": 8},
    )
    solid(legend)


def solid(legend: Legend) -> None:
    """Points of a legend large and strong enough to name their colour, whatever those of the plot."""
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_alpha(1)
            handle.set_sizes([36])


def save_drawn(drawn: Axes | Sequence[Axes], path: Path, *, panels: int = 1) -> None:
    """Write a figure that another library drew, at a size fit to be read, and let it go.

    Args:
        drawn: its axes, or some of them.
        panels: plots side by side in it.
    """
    from matplotlib import pyplot

    axes = drawn if isinstance(drawn, Axes) else next(iter(np.ravel(np.asarray(drawn, dtype=object))))
    figure = axes.get_figure(root=True)
    assert figure is not None
    for part in figure.axes:
        legend = part.get_legend()
        if legend is not None and len(legend.get_texts()) > _LONGEST_LEGEND:
            legend.remove()
        if part.get_xscale() == "log":
            part.xaxis.set_minor_formatter(NullFormatter())
    figure.set_size_inches(max(9.6, 4.2 * panels), 6.0)
    atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", facecolor="white"))
    pyplot.close(figure)
