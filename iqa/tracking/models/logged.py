"""Logging a trained model so that mlflow.pyfunc can load and serve it anywhere, and what a test says of it."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import iqa
from iqa.tracking.models.fetching import BEST, MODEL_NAME
from iqa.tracking.store import METRICS_PER_BATCH

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

#: Tag of a logged model: SHA-256 (hex) of the checkpoint that it was made of. Early versions set none.
CHECKPOINT = "checkpoint"
#: Among a logged model's files: what its test found. Beside it lies the card.
TEST, CARD = "evaluation", "README.md"
#: Noted in a model: what it takes for a picture.
POLICY = {"iqa_pictures": "as sent"}
#: What iqa.scoring imports; named here because letting MLflow find out takes minutes.
REQUIREMENTS = (
    *("mlflow", "numpy", "pandas", "scipy", "scikit-learn"),
    *("filelock", "pillow", "psutil", "pyarrow", "pydantic", "tqdm"),
)
#: And what it imports for a checkpoint, or for an exported model.
OF_CHECKPOINTS, OF_EXPORTED = ("torch", "torchvision", "timm", "piq", "safetensors"), ("onnxruntime",)


def log_served_model(
    client: MlflowClient,
    run_id: str,
    directory: Path,
    *,
    step: int = 0,
    metrics: Sequence[Sequence[Any]] = (),
    dataset: Mapping[str, str] | None = None,
) -> str:
    """Log what a folder holds, with the code that reads it, and return the model's id.

    `mlflow.pyfunc.log_model` would load it and score its example first, which takes as long as a short training;
    building the folder and handing it over does not.

    Args:
        directory: an experiment's folder, of which best_model.pth is taken, or an ensemble's, all members in one.
        step: the epoch that it comes from.
        metrics: what is known of it by now: name, value, time in ms and step of each.
        dataset: name and digest of the pictures that they are of.

    Raises:
        FileNotFoundError: there is no best_model.pth.
    """
    from mlflow.entities import LoggedModelOutput

    files = checkpoints(directory)
    run = client.get_run(run_id)
    _remove_unfinished(client, run)
    model = client.create_logged_model(
        run.info.experiment_id,
        MODEL_NAME,
        source_run_id=run_id,
        tags={CHECKPOINT: digest_of(files)},
        params=run.data.params,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "model")
            save_served_model(directory, target, run_id=run_id, model_id=model.model_id)
            client.log_model_artifacts(model.model_id, str(target))
        client.finalize_logged_model(model.model_id, "READY")
        _log_figures(client, model, metrics, dataset)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=step)])
    except Exception:
        client.delete_logged_model(model.model_id)
        raise
    return str(model.model_id)


def _remove_unfinished(client: MlflowClient, run: Run) -> None:
    """Delete models of a run that it never got to name as its own: whoever logged them was killed."""
    owned = {each.model_id for each in (run.outputs.model_outputs if run.outputs else [])}
    own_models = f"name = '{MODEL_NAME}' AND source_run_id = '{run.info.run_id}'"
    for model in client.search_logged_models([run.info.experiment_id], filter_string=own_models):
        if model.model_id not in owned:
            client.delete_logged_model(model.model_id)


def log_test(
    client: MlflowClient,
    run_id: str,
    files: Mapping[str, Path],
    *,
    checkpoint: str,
    metrics: Sequence[Sequence[Any]],
    dataset: Mapping[str, str] | None,
) -> None:
    """Add to the model that a run made of a checkpoint what a test found; where there is no such model, nothing.

    Args:
        files: what is to lie among the model's files, by the place there.
        checkpoint: digest of what was tested.
        metrics: name, value, time in ms and step of each.
        dataset: name and digest of the test pictures.
    """
    model = model_of(client, run_id, checkpoint)
    if model is None:
        return
    _log_figures(client, model, metrics, dataset)
    with tempfile.TemporaryDirectory() as folder:
        for place, file in files.items():
            Path(folder, place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, Path(folder, place))
        client.log_model_artifacts(model.model_id, folder)


def _log_figures(
    client: MlflowClient, model: LoggedModel, metrics: Sequence[Sequence[Any]], dataset: Mapping[str, str] | None
) -> None:
    """Log figures that the model's run has as the model's, too, on certain pictures."""
    from mlflow.entities import Metric

    known = dataset or {}
    of = {"model_id": model.model_id, "dataset_name": known.get("name"), "dataset_digest": known.get("digest")}
    figures = [Metric(name, value, time, step, **of) for name, value, time, step in metrics]
    for start in range(0, len(figures), METRICS_PER_BATCH):
        client.log_batch(str(model.source_run_id), metrics=figures[start : start + METRICS_PER_BATCH])


def model_of(client: MlflowClient, run_id: str, checkpoint: str | None = None) -> LoggedModel | None:
    """The last model that a run logged; with `checkpoint`, of that digest, or of a version that noted none."""
    outputs = client.get_run(run_id).outputs
    models = [client.get_logged_model(each.model_id) for each in (outputs.model_outputs if outputs else [])]
    fitting = [each for each in models if checkpoint is None or each.tags.get(CHECKPOINT, checkpoint) == checkpoint]
    return max(fitting, key=lambda each: int(each.creation_timestamp), default=None)


def checkpoints(path: Path) -> list[Path]:
    """The checkpoint files of an experiment's folder, of an ensemble's, or of a checkpoint.

    Raises:
        FileNotFoundError: one is missing.
    """
    from iqa.scoring.ensemble import read_members

    members = read_members(path) or [path]
    files = [member / BEST if member.is_dir() else member for member in members]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is gone")
    return files


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 (hex) of a checkpoint; of several, of their digests in a row, as an ensemble has it."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def save_served_model(path: Path, target: Path, *, run_id: str | None = None, model_id: str | None = None) -> None:
    """Make `target` the folder of a model that MLflow can serve: its checkpoints and the code that reads them.

    The model takes a column `image` (a picture file's bytes, as they are or in base64) and returns the columns
    score, calibrated, the ends of its interval, cluster, log_likelihood, typicality and error.

    Args:
        path: as `checkpoints` takes it, or a file that `iqa export` wrote.
    """
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    from iqa.scoring.onnx_scorer import SUFFIX

    with tempfile.TemporaryDirectory() as folder:
        code = shutil.copytree(
            Path(iqa.__file__).parent, Path(folder, "iqa"), ignore=shutil.ignore_patterns("__pycache__")
        )
        save_model(
            path=target,
            mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id, metadata=POLICY),
            python_model=str(code / "tracking" / "models" / "served_model.py"),
            artifacts={"checkpoint": _whole(path, Path(folder)).resolve().as_uri()},
            code_paths=[str(code)],
            pip_requirements=requirements(exported=checkpoints(path)[0].suffix == SUFFIX),
            signature=signature(),
            input_example=example(),
        )


def _whole(path: Path, folder: Path) -> Path:
    """A model as one file or folder: an ensemble with its members inside, made in `folder`."""
    from iqa.files import experiment_label
    from iqa.scoring.ensemble import read_members, write_members

    files, members = checkpoints(path), read_members(path)
    if members is None:
        return files[0]
    whole = folder / "ensemble" / experiment_label(path)
    inside = [whole / f"{number}-{experiment_label(member)}" for number, member in enumerate(members)]
    for file, place in zip(files, inside, strict=True):
        place.mkdir(parents=True)
        shutil.copyfile(file, place / file.name)
    write_members(whole, inside)
    return whole


def reads_what_is_sent(model: Path) -> bool:
    """Whether the model in this folder leaves files alone that a client names, as those of early versions do not."""
    from mlflow.models import Model

    return POLICY.items() <= (Model.load(str(model)).metadata or {}).items()


def requirements(*, exported: bool = False) -> list[str]:
    """What scoring by a checkpoint needs, or by a file that `iqa export` wrote.

    Pinned at what is installed; a local build tag such as +cu130 is on no index.
    """
    names = (*REQUIREMENTS, *(OF_EXPORTED if exported else OF_CHECKPOINTS))
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from iqa.scoring.base import SCORES

    kinds = {name: "long" if name == "cluster" else "double" for name in SCORES} | {"error": "string"}
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec(kind, name, required=False) for name, kind in kinds.items()]),
    )


def example() -> pd.DataFrame:
    """One small picture, as a client would send it."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "JPEG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})
