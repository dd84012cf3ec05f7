"""A trained model at work: over a prepared test set, over any pictures, over more pictures than memory holds."""

from iqa.scoring.picture import Picture
from iqa.scoring.scorer import SCORES, Calibration, Predictions, Scorer, load_scorer

__all__ = ["SCORES", "Calibration", "Picture", "Predictions", "Scorer", "load_scorer"]
