"""Models that others rely on by name: versions and aliases in MLflow's registry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from iqa.errors import UserError, cut
from iqa.tracking.embedded import database_file
from iqa.tracking.models.fetching import EXPECTED, MODEL_NAME, SCHEMES, download_one
from iqa.tracking.models.logged import CARD, CHECKPOINT, TEST, model_of
from iqa.tracking.store import asking, connect, good_manners, shown
from iqa.tracking.view import spaced

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

#: Where a run keeps what a test found. Models of early versions have no copy of it.
RUN_TEST = "visualizations"
#: Characters that MLflow's database keeps of a version's description.
DESCRIPTION = 5000
#: How the tags that tell of a promotion begin.
PROMOTION = "promotion."
#: Where MLflow is told of the store in use.
IN_USE = "MLFLOW_TRACKING_URI"
#: Tag of a logged model by which MLflow's pages find its versions.
VERSIONS = "mlflow.modelVersions"


@dataclass(frozen=True)
class Logged:
    """A model in the store.

    Attributes:
        model_id: MLflow's, such as m-1f2e...
        run_id: of the run that logged it.
        location: of its artifacts.
        has_test_of_its_own: whether the test of its very checkpoint is kept with it, once there is one.
        version: its version under the name that is asked about, if it has one there.
    """

    model_id: str
    run_id: str
    location: str
    has_test_of_its_own: bool
    version: str | None = None


class Registry:
    """The registry of the store at `address`.

    Every method raises a UserError where MLflow refuses, an IqaError where it does not answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = connect(address)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes of this machine out; between machines the caller looks twice instead."""
        from mlflow.exceptions import MlflowException

        refused = f"{shown(self.address)} refuses"
        with good_manners(), _lock(self.address), asking(self.address, refused, errors=MlflowException):
            yield

    def find(self, uri: str) -> Logged:
        """A model by `runs:/<id>`, `runs:/<id>/model`, `models:/<model id>` or `models:/<name>/<version>`."""
        scheme, _, path = uri.partition(":/")
        refused = f"{cut(uri)} is not in {shown(self.address)}"
        with asking(self.address, refused, expected=EXPECTED, fix="copy its name from the UI"):
            if f"{scheme}:/" == SCHEMES[0]:
                return self._of_run(path.removesuffix(f"/{MODEL_NAME}").strip("/"), uri)
            from mlflow.store.artifact.utils.models import get_model_name_and_version

            found = get_model_name_and_version(self._client, uri)
            if len(found) == 1:
                return _told(self._client.get_logged_model(found[0]))
            return self._of_version(self._client.get_model_version(*found))

    def holder(self, name: str, alias: str) -> Logged | None:
        """The model that has an alias now."""
        from mlflow.exceptions import MlflowException

        try:
            version = self._client.get_registered_model(name).aliases.get(alias)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return None if version is None else self._of_version(self._client.get_model_version(name, str(version)))

    def fetch_test(self, model: Logged, folder: Path) -> Path | None:
        """Bring the table and the results of a model's test into `folder`; None where it was not tested."""
        if model.has_test_of_its_own:
            if TEST not in {item.path for item in self._client.list_logged_model_artifacts(model.model_id)}:
                return None
            return download_one(f"{model.location}/{TEST}", self.address, folder)
        if RUN_TEST not in {item.path for item in self._client.list_artifacts(model.run_id)}:
            return None
        return download_one(f"runs:/{model.run_id}/{RUN_TEST}", self.address, folder)

    def fetch_card(self, model: Logged, folder: Path) -> str:
        """The model's card; "" where it has none."""
        if CARD not in {item.path for item in self._client.list_logged_model_artifacts(model.model_id)}:
            return ""
        return download_one(f"{model.location}/{CARD}", self.address, folder).read_text(encoding="utf-8")

    def register(self, name: str, model: Logged) -> tuple[str, bool]:
        """A version of `name` that is this model, and whether it was made just now."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # it exists; what else is wrong shows below
            self._client.create_registered_model(name)
        source = f"models:/{model.model_id}"
        for known in self._client.search_model_versions(f"name = '{name}'"):
            if known.source == source:
                return str(known.version), False
        with _in_use(self.address):
            made = self._client.create_model_version(name, source, run_id=model.run_id, model_id=model.model_id)
        self._link(model.model_id, made)
        return str(made.version), True

    def describe(self, name: str, version: str, tags: Mapping[str, object], text: str) -> None:
        """Set the tags below PROMOTION, and the description, of a version.

        Args:
            text: Markdown; as many whole paragraphs of it as MLflow takes.
        """
        ours = {f"{PROMOTION}{key}": str(value) for key, value in tags.items()}
        for key in self._client.get_model_version(name, version).tags:
            if key.startswith(PROMOTION) and key not in ours:  # of an earlier promotion of this version
                self._client.delete_model_version_tag(name, version, key)
        for key, value in ours.items():
            self._client.set_model_version_tag(name, version, key, value)
        self._client.update_model_version(name, version, description=shortened(spaced(text)))

    def move(self, name: str, alias: str, version: str) -> None:
        """Give a version the alias."""
        self._client.set_registered_model_alias(name, alias, version)

    def forget(self, name: str, version: str) -> None:
        """Delete a version."""
        self._client.delete_model_version(name, version)

    def _of_run(self, run_id: str, uri: str) -> Logged:
        model = model_of(self._client, run_id)
        if model is None:
            parent = self._client.get_run(run_id).data.tags.get("mlflow.parentRunId")
            raise UserError(
                f"the run {cut(uri)} logged no model",
                expected="the run of a finished training, or of the test of an ensemble",
                fix=f"take the run that it belongs to: runs:/{parent}" if parent else None,
            )
        return _told(model)

    def _of_version(self, version: ModelVersion) -> Logged:
        model_id = str(version.source).removeprefix(SCHEMES[1]).strip("/")
        if str(version.source).startswith(f"{SCHEMES[1]}m-"):
            return _told(self._client.get_logged_model(model_id), str(version.version))
        model = model_of(self._client, str(version.run_id)) if version.run_id else None
        if model is None:
            raise UserError(
                f"version {version.version} of {version.name} is none of this project's models",
                got=cut(str(version.source)),
                fix="choose another name or alias",
            )
        return _told(model, str(version.version))

    def _link(self, model_id: str, version: ModelVersion) -> None:
        """Tell a logged model of its version; a server has done so itself."""
        ours = {"name": version.name, "version": version.version}
        known = json.loads(self._client.get_logged_model(model_id).tags.get(VERSIONS, "[]"))
        if str(version.version) not in {str(each["version"]) for each in known if each["name"] == version.name}:
            self._client.set_logged_model_tags(model_id, {VERSIONS: json.dumps([*known, ours])})


def _told(model: LoggedModel, version: str | None = None) -> Logged:
    own = CHECKPOINT in model.tags
    return Logged(model.model_id, str(model.source_run_id), model.artifact_location, own, version)


def shortened(text: str, most: int = DESCRIPTION) -> str:
    """As many whole paragraphs of a text, from its start, as `most` characters hold."""
    if len(text) <= most:
        return text
    rest = f"\n\nThe rest is in {CARD} among the model's artifacts."
    whole = text[: most - len(rest)]
    return (whole.rpartition("\n\n")[0] or whole) + rest


@contextmanager
def _in_use(address: str) -> Iterator[None]:
    """Make a database the store in use: there MLflow looks for the model of a version, whatever its client is of."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri, get_tracking_uri

    if address.startswith(("http://", "https://")) or get_tracking_uri() == address:
        yield
        return
    before = os.environ.get(IN_USE)
    try:
        with _use_tracking_uri(address):
            yield
    finally:
        if before is not None:  # MLflow sets this too, and takes it away
            os.environ[IN_USE] = before


def _lock(address: str) -> AbstractContextManager[object]:
    """A lock beside a store that is a file or a folder; none for a server."""
    from filelock import FileLock

    if file := database_file(address):
        return FileLock(file.with_name(f"{file.name}.promotion.lock"))
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):
        return FileLock(Path(unquote(parts.path), ".promotion.lock"))
    return nullcontext()
