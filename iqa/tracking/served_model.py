"""The file that MLflow runs to load a logged model: scoring behind MLflow's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

#: Types that JSON can tell from NaN: a picture that cannot be read has no score, a model without a scale gives no
#: calibrated one, a model without a mixture no cluster and no log_likelihood.
NULLABLE = {"score": "Float64", "calibrated": "Float64", "cluster": "Int64", "log_likelihood": "Float64"}


class QualityModel(PythonModel):
    """Scores pictures: column `image` in; score, calibrated, cluster, log_likelihood and error out, a row each.

    An image is a path, or a picture file's bytes in base64. What cannot be read has the reason as its `error` and costs
    the others nothing.
    """

    def load_context(self, context: PythonModelContext) -> None:
        # Not at the top: logging a model runs this file too, and has no need of torch.
        from iqa.scoring import load_scorer

        self._scorer = load_scorer(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        scores = self._scorer.score(list(model_input["image"]), on_error="row")
        return scores.astype(NULLABLE)[[*NULLABLE, "error"]]


set_model(QualityModel())
