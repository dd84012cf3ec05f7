"""From the name of a model in MLflow to its checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from iqa.errors import UserError, cut
from iqa.tracking.store import asking, connect, good_manners, shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: How names of models in MLflow begin.
SCHEMES = ("runs:/", "models:/")
#: What a training run holds at the root of its artifacts.
BEST = "best_model.pth"
#: What a run's model is called.
MODEL_NAME = "model"
EXPECTED = "runs:/<run id>, models:/<name>/<version>, models:/<name>@<alias> or models:/<model id>"


@contextmanager
def fetched_checkpoint(uri: str, *, store: str | None = None) -> Iterator[Path]:
    """The checkpoint of a model in MLflow, as a file that is deleted when the block ends.

    Args:
        uri: `runs:/<id>` of a training, or its logged model: `runs:/<id>/model`, `models:/<name>/<version or
            "latest">`, `models:/<name>@<alias>`, `models:/<model id>`.
        store: tracking URI; None takes MLFLOW_TRACKING_URI or MLflow's default.

    Raises:
        UserError: malformed `uri`, unknown model, or a model that is not one of this project.
        IqaError: the store does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="iqa-model-") as folder:
        yield _fetch(uri, Path(folder), _download, store=store)


def fetch_model(uri: str, folder: Path, *, store: str | None = None) -> Path:
    """A model in MLflow as the folder that was logged, somewhere in `folder`; of `runs:/<id>` alone, its checkpoint.

    `uri`, `store` and what is raised are those of `fetched_checkpoint`.
    """
    return _fetch(uri, folder, _download_whole, store=store)


def checkpoint_of(model: Path) -> Path:
    """The checkpoint in the folder of a logged model.

    Raises:
        UserError: the model is none of this project.
    """
    return model / _checkpoint_inside(model / "MLmodel", str(model))


def _fetch(
    uri: str, folder: Path, download: Callable[[MlflowClient, str, str, Path], Path], *, store: str | None = None
) -> Path:
    """What `download` brings, given a client, `uri`, the store's address and `folder`."""
    scheme, _, path = uri.partition(":/")
    if f"{scheme}:/" not in SCHEMES or not path.strip("/"):
        raise UserError("this names no model in MLflow", got=cut(uri), expected=EXPECTED)
    with good_manners():
        address = tracking_uri(store)
        with asking(
            address,
            f"{cut(uri)} is not in {shown(address)}, or is no model of this project",
            expected=EXPECTED,
            fix="copy its name from the UI, and set MLFLOW_TRACKING_URI to the store that holds it",
        ):
            return download(connect(address), uri.rstrip("/"), address, folder)


def _download(client: MlflowClient, uri: str, address: str, folder: Path) -> Path:
    if _is_run(uri):
        run_id = uri.partition(":/")[2]
        outputs = client.get_run(run_id).outputs
        if BEST in {item.path for item in client.list_artifacts(run_id)}:
            return download_one(f"{uri}/{BEST}", address, folder)
        if not (outputs and outputs.model_outputs):
            raise UserError(f"{cut(uri)} holds no model", expected=f"{BEST}, or the logged model of an ensemble")
        uri = f"{uri}/{MODEL_NAME}"  # of an ensemble
    location = _location(client, uri)
    described = download_one(f"{location}/MLmodel", address, folder)
    return download_one(f"{location}/{_checkpoint_inside(described, location)}", address, folder)


def _download_whole(client: MlflowClient, uri: str, address: str, folder: Path) -> Path:
    if _is_run(uri):
        return _download(client, uri, address, folder)
    model = download_one(_location(client, uri), address, folder)
    checkpoint_of(model)
    return model


def _is_run(uri: str) -> bool:
    """Whether a training's run is named, and not its model."""
    scheme, _, path = uri.partition(":/")
    return scheme == "runs" and "/" not in path


def _location(client: MlflowClient, uri: str) -> str:
    """Where the artifacts of a registered or logged model are, or of a run's."""
    if not uri.startswith("models:/"):
        return uri
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    found = get_model_name_and_version(client, uri)
    if len(found) == 1:
        return str(client.get_logged_model(found[0]).artifact_location)
    location = str(client.get_model_version_download_uri(*found))
    return _location(client, location)


def _checkpoint_inside(described: Path, model: str) -> str:
    """The path of the checkpoint in a model that `log_served_model` logged, by its MLmodel file."""
    from mlflow.models import Model

    try:
        path = str(Model.load(str(described)).flavors["python_function"]["artifacts"]["checkpoint"]["path"])
    except Exception as error:  # of YAML, of MLflow, or a key that is missing
        raise UserError(f"the model at {shown(model)} is none of this project", got="no checkpoint") from error
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path or "\0" in path:
        raise UserError(f"the model at {shown(model)} names a checkpoint outside itself", got=cut(path))
    return path


def download_one(uri: str, address: str, folder: Path) -> Path:
    """A file or folder among the artifacts of the store at `address`, brought into `folder`."""
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=address))
