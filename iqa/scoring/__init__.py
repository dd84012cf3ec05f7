"""A trained model at work: over a prepared test set, over any pictures, over more pictures than memory holds.

What needs torch is imported when it is first asked for: an exported model scores without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from iqa.scoring.base import SCORES, UNUSUAL, PictureScorer
from iqa.scoring.ensemble import Ensemble, load_model
from iqa.scoring.onnx_scorer import OnnxScorer
from iqa.scoring.picture import Picture
from iqa.scoring.scale import BOUNDS, COVERAGE, Calibration

if TYPE_CHECKING:
    from iqa.scoring.scorer import Predictions, Scorer, load_scorer

__all__ = [
    "BOUNDS",
    "COVERAGE",
    "SCORES",
    "UNUSUAL",
    "Calibration",
    "Ensemble",
    "OnnxScorer",
    "Picture",
    "PictureScorer",
    "Predictions",
    "Scorer",
    "load_model",
    "load_scorer",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'iqa.scoring' has no attribute '{name}'")
    return getattr(importlib.import_module("iqa.scoring.scorer"), name)
