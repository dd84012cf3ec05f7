"""`iqa.load`: a trained model by its name, ready to score; an exported one needs little more than ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from iqa.scoring import COVERAGE, Ensemble, PictureScorer, load_model
from iqa.tracking.models.fetching import SCHEMES, fetched_checkpoint


def load(model: str | Path, device: str = "auto", coverage: float = COVERAGE) -> PictureScorer | Ensemble:
    """A trained model, ready to score pictures: see `PictureScorer.score` and `score_stream`.

    Args:
        model: an experiment folder (its best model), the folder of an ensemble, a checkpoint file, a file
            that `iqa export` wrote, or a model in MLflow: `runs:/<run id>`, `models:/<name>/<version>`,
            `models:/<name>@<alias>`. What is downloaded is not kept.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        coverage: share of pictures whose score by people is to lie between `low` and `high`.

    Raises:
        UserError: there is no such model, or it is damaged or of another kind.
        IqaError: MLflow's server does not answer.
    """
    if not str(model).startswith(SCHEMES):
        return load_model(model, device, coverage)
    with fetched_checkpoint(str(model)) as checkpoint:
        return load_model(checkpoint, device, coverage)
