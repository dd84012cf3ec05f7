"""Logging a trained model so that mlflow.pyfunc can load and serve it anywhere."""

from __future__ import annotations

import base64
import importlib.metadata
import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import iqa

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

MODEL_NAME = "model"
#: Noted in a model: what it takes for a picture.
POLICY = {"iqa_pictures": "as sent"}
#: What iqa.scoring imports; named here because letting MLflow find out takes minutes.
REQUIREMENTS = (
    *("mlflow", "torch", "torchvision", "timm", "numpy", "pandas", "scipy", "scikit-learn"),
    *("filelock", "pillow", "piq", "pyarrow", "pydantic", "safetensors", "tqdm"),
)


def log_served_model(client: MlflowClient, run_id: str, experiment_directory: Path) -> str:
    """Log best_model.pth with the code that reads it, and return the model's id.

    `mlflow.pyfunc.log_model` would load it and score its example first, which takes as long as a short training;
    building the folder and handing it over does not.

    Raises:
        FileNotFoundError: there is no best_model.pth.
    """
    from mlflow.entities import LoggedModelOutput

    checkpoint = Path(experiment_directory) / "best_model.pth"
    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint} is gone")
    run = client.get_run(run_id)
    model = client.create_logged_model(run.info.experiment_id, MODEL_NAME, source_run_id=run_id)
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "model")
            save_served_model(checkpoint, target, run_id=run_id, model_id=model.model_id)
            client.log_model_artifacts(model.model_id, str(target))
    except Exception:
        client.delete_logged_model(model.model_id)
        raise
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def save_served_model(
    checkpoint: Path, target: Path, *, run_id: str | None = None, model_id: str | None = None
) -> None:
    """Make `target` the folder of a model that MLflow can serve: a checkpoint and the code that reads it.

    The model takes a column `image` (a picture file's bytes, as they are or in base64) and returns the columns
    score, calibrated, cluster, log_likelihood and error.
    """
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    with tempfile.TemporaryDirectory() as folder:
        code = shutil.copytree(
            Path(iqa.__file__).parent, Path(folder, "iqa"), ignore=shutil.ignore_patterns("__pycache__")
        )
        save_model(
            path=target,
            mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id, metadata=POLICY),
            python_model=str(code / "tracking" / "served_model.py"),
            artifacts={"checkpoint": checkpoint.resolve().as_uri()},
            code_paths=[str(code)],
            pip_requirements=requirements(),
            signature=signature(),
            input_example=example(),
        )


def reads_what_is_sent(model: Path) -> bool:
    """Whether the model in this folder leaves files alone that a client names, as those of early versions do not."""
    from mlflow.models import Model

    return POLICY.items() <= (Model.load(str(model)).metadata or {}).items()


def requirements() -> list[str]:
    """What scoring needs, pinned at what is installed (a local build tag such as +cu130 is on no index)."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from iqa.scoring.scale import BOUNDS

    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema(
            [
                *(ColSpec("double", name, required=False) for name in ("score", "calibrated", *BOUNDS)),
                ColSpec("long", "cluster", required=False),
                ColSpec("double", "log_likelihood", required=False),
                ColSpec("string", "error", required=False),
            ]
        ),
    )


def example() -> pd.DataFrame:
    """One small picture, as a client would send it."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "JPEG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})
