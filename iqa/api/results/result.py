"""What a call of the library gives back: the outcome in a line, in a notebook, and as a figure."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Figures of merit as a reader writes them.
MEASURES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "rmse": "RMSE"}


class Result:
    """An outcome with its files.

    Attributes:
        folder: where its files are.
        link: address of MLflow's table of runs; None where nothing is tracked, or the server does not answer.
    """

    folder: Path
    link: str | None

    def figures(self) -> list[tuple[str, str]]:
        """Figures of merit in words: what, and how much."""
        raise TypeError(f"{type(self).__name__} has no figures of merit")

    def pictures(self) -> list[Path]:
        """The PNG files in its folder."""
        return sorted(self.folder.glob("*.png"))

    def plot(self) -> Figure:
        """The figure that says most."""
        raise TypeError(f"{type(self).__name__} has no figure")

    @property
    def title(self) -> str:
        return f"{type(self).__name__} in {self.folder}"

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.figures())
        return f"<{self.title}: {told}>"

    def _repr_html_(self) -> str:
        """Figures of merit and pictures, for a notebook."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self.figures()
        )
        pictures = "".join(
            f"<img alt='{html.escape(path.stem)}' style='max-width:48%' "
            f"src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
            for path in self.pictures()
        )
        return f"<h4>{html.escape(self.title)}</h4><table>{rows}</table>{pictures}"


def number(value: float | None) -> str:
    """A figure of merit in words."""
    return "-" if value is None else f"{value:.4f}"


def with_interval(part: Mapping[str, float | None]) -> str:
    """A figure of merit with the ends of its interval, where it has one."""
    if part["low"] is None or part["high"] is None:
        return number(part["value"])
    return f"{number(part['value'])} [{part['low']:.4f}, {part['high']:.4f}]"
