"""The file that MLflow runs to load a logged model: scoring behind MLflow's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from iqa.scoring.base import SCORES

#: Types that JSON can tell from NaN: a picture that cannot be read has no score, a model without a scale gives no
#: calibrated one, one without intervals no ends, a model without a mixture no cluster and no log_likelihood.
NULLABLE = {name: "Int64" if name == "cluster" else "Float64" for name in SCORES}


class QualityModel(PythonModel):
    """Scores pictures: column `image` in; the columns of NULLABLE and error out, a row each.

    `low` and `high` hold people's score, as a share of their scale, for nine pictures of ten; `calibrated_low` and
    `calibrated_high` are the same on their scale.

    An image is a picture file's bytes, as they are or in base64; a path only within the folder of IQA_SERVE_ROOT (see
    `iqa.data.store.rules`). What cannot be read has the reason as its `error` and costs the others nothing.
    """

    def load_context(self, context: PythonModelContext) -> None:
        # Not at the top: logging a model runs this file too, and has no need of torch.
        from iqa.data.store.rules import Rules
        from iqa.scoring import load_model

        self._rules = Rules.from_environment()
        self._scorer = load_model(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        from iqa.scoring.sent import admit

        scores = self._scorer.score(admit(model_input["image"], self._rules), on_error="row")
        return scores.astype(NULLABLE)[[*NULLABLE, "error"]]


set_model(QualityModel())
