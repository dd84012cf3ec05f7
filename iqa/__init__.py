"""CNN + GMM + MLP image quality assessment, tracked by MLflow.

import iqa

table = iqa.load("experiments/quick_test").score(["a.jpg", "b.png"])
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iqa.scoring import Ensemble, Scorer

__version__ = "0.1.0"


def load(model: str | Path, device: str = "auto") -> Scorer | Ensemble:
    """A trained model, ready to score pictures: see `iqa.scoring.Scorer.score` and `score_stream`.

    Args:
        model: an experiment folder (its best model), the folder of an ensemble, a checkpoint file, or a model in
            MLflow: `runs:/<run id>`, `models:/<name>/<version>`, `models:/<name>@<alias>`. What is downloaded is not
            kept.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises:
        UserError: there is no such model, or it is damaged or of another kind.
        IqaError: MLflow's server does not answer.
    """
    # Imported here: `import iqa` must not wait for torch and mlflow.
    from iqa.scoring import load_model
    from iqa.tracking.models import SCHEMES, fetched_checkpoint

    if not str(model).startswith(SCHEMES):
        return load_model(model, device)
    with fetched_checkpoint(str(model)) as checkpoint:
        return load_model(checkpoint, device)
