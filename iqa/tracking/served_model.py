"""The file that MLflow runs to load a logged model: scoring behind MLflow's interface."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

#: First bytes of JPEG, PNG, GIF, BMP, WebP and TIFF files.
PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
#: Types that JSON can tell from NaN: a model without a scale gives no calibrated score, one without a mixture no
#: cluster and no log_likelihood.
NULLABLE = {"calibrated": "Float64", "cluster": "Int64", "log_likelihood": "Float64"}


class QualityModel(PythonModel):
    """Scores pictures: column `image` in; score, calibrated, cluster and log_likelihood out, a row each."""

    def load_context(self, context: PythonModelContext) -> None:
        # Not at the top: logging a model runs this file too, and has no need of torch.
        from iqa.scoring import load_scorer

        self._scorer = load_scorer(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        scores = self._scorer.score([picture(value) for value in model_input["image"]])
        return scores[["score", *NULLABLE]].astype(NULLABLE)


def picture(value: str) -> Path | bytes:
    """The file named by `value`, or the file's bytes if `value` is a picture in base64."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return Path(value)
    return decoded if decoded.startswith(PICTURE_STARTS) else Path(value)


set_model(QualityModel())
