"""From the name of a model in MLflow to its checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.errors import IqaError, UserError, cut, first_line
from iqa.tracking.store import connect, good_manners, judge, reachable, shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: How names of models in MLflow begin.
SCHEMES = ("runs:/", "models:/")
#: What a training run holds at the root of its artifacts.
BEST = "best_model.pth"
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
    scheme, _, path = uri.partition(":/")
    if f"{scheme}:/" not in SCHEMES or not path.strip("/"):
        raise UserError("this names no model in MLflow", got=cut(uri), expected=EXPECTED)
    with good_manners():
        address = tracking_uri(store)
        if not reachable(address):
            raise IqaError(f"the tracking server {shown(address)} does not answer", fix="check that it runs")
        client = connect(address)
        with tempfile.TemporaryDirectory(prefix="iqa-model-") as folder:
            try:
                checkpoint = _download(client, uri.rstrip("/"), address, Path(folder))
            except UserError:
                raise
            except Exception as error:
                if judge(error) == "unreachable":
                    raise IqaError(f"the tracking server {shown(address)} failed", got=first_line(error)) from error
                raise UserError(
                    f"{cut(uri)} is not in {shown(address)}, or is no model of this project",
                    got=first_line(error),
                    expected=EXPECTED,
                    fix="copy its name from the UI, and set MLFLOW_TRACKING_URI to the store that holds it",
                ) from error
            yield checkpoint


def _download(client: MlflowClient, uri: str, address: str, folder: Path) -> Path:
    scheme, _, path = uri.partition(":/")
    if scheme == "runs" and "/" not in path:
        return _one_file(f"{uri}/{BEST}", address, folder)
    location = _location(client, uri) if scheme == "models" else uri
    return _one_file(f"{location}/{_checkpoint_inside(location, address, folder)}", address, folder)


def _location(client: MlflowClient, uri: str) -> str:
    """Where the artifacts of a registered or logged model are."""
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    found = get_model_name_and_version(client, uri)
    if len(found) == 1:
        return str(client.get_logged_model(found[0]).artifact_location)
    location = str(client.get_model_version_download_uri(*found))
    return _location(client, location) if location.startswith("models:/") else location


def _checkpoint_inside(location: str, address: str, folder: Path) -> str:
    """The path of the checkpoint in a model that `log_served_model` logged."""
    from mlflow.models import Model

    described = Model.load(str(_one_file(f"{location}/MLmodel", address, folder)))
    try:
        return str(described.flavors["python_function"]["artifacts"]["checkpoint"]["path"])
    except KeyError as error:
        raise UserError(f"the model at {shown(location)} is none of this project", got="no checkpoint") from error


def _one_file(uri: str, address: str, folder: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=address))
