"""The figures of a search, as Optuna draws them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.visualization import matplotlib as drawings

from iqa.plots.style import save_drawn, settings_kept
from iqa.tuning.search import Search

#: Contours of more pairs than these settings make are too small to read.
CONTOURED = 4


def draw_search(search: Search, folder: Path) -> list[Path]:
    """Write history, intermediate values, importances, slice, contour and parallel coordinates as PNG.

    Figures that the trials are too few for are left out.
    """
    study, target = search.planned.study, "validation SRCC"
    keys = list(search.space)
    paths = []
    draw: dict[str, Callable[[], Any]] = {
        "history": lambda: drawings.plot_optimization_history(study, target_name=target),
        "intermediate_values": lambda: drawings.plot_intermediate_values(study),
        "importances": lambda: drawings.plot_param_importances(study, target_name=target),
        "slice": lambda: drawings.plot_slice(study, params=keys, target_name=target),
        "contour": lambda: drawings.plot_contour(study, params=_leading(study, keys), target_name=target),
        "parallel_coordinates": lambda: drawings.plot_parallel_coordinate(study, params=keys, target_name=target),
    }
    # Optuna sets a style for the whole process.
    with settings_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function in draw.items():
            if name == "contour" and len(keys) < 2:
                continue
            try:
                axes = function()
            except (RuntimeError, ValueError, ZeroDivisionError):
                continue
            if name == "intermediate_values":
                axes.set(xlabel="epoch", ylabel=target)
            path = folder / f"study_{name}.png"
            save_drawn(axes, path, panels=len(keys) if name == "slice" else 1)
            paths.append(path)
    return paths


def _leading(study: optuna.Study, keys: list[str]) -> list[str]:
    """The settings that differ most in effect."""
    try:
        ranked = list(optuna.importance.get_param_importances(study))
    except (RuntimeError, ValueError):
        ranked = keys
    return ranked[:CONTOURED] if len(ranked) > 1 else keys[:2]
