"""A trained model at work: over a prepared test set, over any pictures, over more pictures than memory holds."""

from iqa.scoring.ensemble import Ensemble, load_model
from iqa.scoring.picture import Picture
from iqa.scoring.scale import BOUNDS, COVERAGE, Calibration
from iqa.scoring.scorer import SCORES, Predictions, Scorer, load_scorer

__all__ = [
    "BOUNDS",
    "COVERAGE",
    "SCORES",
    "Calibration",
    "Ensemble",
    "Picture",
    "Predictions",
    "Scorer",
    "load_model",
    "load_scorer",
]
