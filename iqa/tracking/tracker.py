"""What a pipeline holds while it runs: logs to one MLflow run without ever waiting for it."""

from __future__ import annotations

import json
import math
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from iqa.config import ExperimentConfig
from iqa.processes import this_process
from iqa.records import EpochRecord
from iqa.tracking.endings import PROCESS_TAG
from iqa.tracking.names import CALLED, Figures, grouped, metric_names
from iqa.tracking.sending.delivery import now
from iqa.tracking.sending.outbox import UNBORN, Outbox
from iqa.tracking.sending.pending import relative_path
from iqa.tracking.store import public_uri
from iqa.tracking.view import NOTE, artifact_link, children_link, run_link, spaced, view_link

if TYPE_CHECKING:
    import pandas as pd

#: Where pictures for descriptions lie among a run's artifacts.
PREVIEWS = "description"
#: MLflow refuses longer digests.
DIGEST_LENGTH = 36
#: Settings that name an experiment: they stand in every run's parameters, the others where they are not the default.
NAMING = (
    *("data.dataset", "data.train_samples", "data.batch_size", "data.split_seed"),
    *("model.backbone", "model.n_clusters", "model.freeze_backbone"),
    *("training.epochs", "training.learning_rate", "training.optimizer", "training.seed"),
)


class Tracker:
    """Writes to one run. No method waits for the server or fails because of it; without a run all do nothing.

    Attributes:
        uri: tracking URI, None with tracking off.
        new_run: whether the run began with this process (a resumed run keeps what it has).
    """

    def __init__(
        self,
        outbox: Outbox | None,
        run: str | None,
        directory: Path | None = None,
        new_run: bool = False,
        experiment: dict[str, str] | None = None,
        place: str | None = None,
    ) -> None:
        self._outbox = outbox
        self._run = run
        self._directory = directory
        self.new_run = new_run
        self._experiment = experiment
        self._names: dict[str, str] = {}
        self._place = place
        self.uri = outbox.uri if outbox else None

    @property
    def run_id(self) -> str | None:
        """The run's id; `pending-...` while no server has seen it; None with tracking off."""
        return self._outbox.run_id(self._run) if self._outbox and self._run else None

    @property
    def link(self) -> str | None:
        """Address of the experiment's view in MLflow's UI; None while no server has the run."""
        return view_link(self.uri, self._place) if self.uri and self._place else None

    def file_link(self, path: str) -> str:
        """Where a description of any run finds the artifact `path` of this one."""
        return artifact_link(self.run_id or "", path)

    def run_link(self, run_id: str | None) -> str | None:
        """Where a description finds another run of this experiment; None where either is unknown."""
        return run_link(self._place, run_id) if self._place and run_id else None

    def children_link(self) -> str | None:
        """Where a description finds all children of this run."""
        return children_link(self._place, self.run_id) if self._place and self.run_id else None

    def on_run(self, run_id: str | None) -> Tracker:
        """A tracker that writes to another run of the same store, such as the training that is evaluated."""
        return Tracker(self._outbox if run_id else None, run_id, self._directory)

    def open_child(self, name: str, tags: Mapping[str, Any], params: Mapping[str, Any]) -> Tracker:
        """A new run under this one, such as a trial of a study with its parameters; `close_child` ends it."""
        if self._outbox is None or self._experiment is None:
            return Tracker(None, None)
        run = f"{UNBORN}{uuid.uuid4().hex}"
        tags = {**tags, "mlflow.parentRunId": self._run, PROCESS_TAG: this_process()}
        opening = {"experiment": self._experiment, "name": name, "tags": tags, "start_time": now()}
        self._outbox.put({"what": "create", "run": run, **opening})
        self._outbox.put({"what": "batch", "run": run, "params": dict(params)})
        return Tracker(self._outbox, run, self._directory, new_run=True, experiment=self._experiment)

    def close_child(self, status: Literal["FINISHED", "FAILED", "KILLED"], tags: Mapping[str, Any]) -> None:
        """End a run that `open_child` opened, with a last word in its tags."""
        self.log_tags(tags)
        self._put("end", status=status, time=now())

    def bury_dead(self) -> None:
        """End what processes that are gone left open in this experiment."""
        self._put("bury")

    def log_config(self, config: ExperimentConfig) -> None:
        """Log what tells this run from others as parameters, under dotted names, and every setting as config.json."""
        self._put("params", params=told_settings(config))
        text = json.dumps(config.to_dict(), indent=2, ensure_ascii=False) + "\n"
        self._put("text", file="config.json", text=text)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log what a call was given, by name; see `log_config` for the settings of a training."""
        self._put("params", params=dict(params))

    def log_epoch(self, record: EpochRecord) -> None:
        """Log the figures of an epoch with the epoch as step; a resumed run may have them already."""
        self._put_metrics(record.metrics(), step=record.epoch, what="metrics" if self.new_run else "again")

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log figures by name; those that are None or not finite are left out.

        They stand in MLflow where `names.grouped` puts them. A name that some store of MLflow would not take is given
        another one, and a tag `metric.<that name>` tells what it was.
        """
        self._put_metrics(metrics, step=step)

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        self._put("tags", tags=dict(tags))

    def describe(self, text: str) -> None:
        """Set the run's description, in Markdown.

        Args:
            text: may name a run that no server has seen yet, by its `run_id`.
        """
        self._put("tags", tags={NOTE: spaced(text)})

    def log_dataset(self, table: pd.DataFrame, *, name: str, context: str, digest: str, source: str) -> None:
        """Log which pictures were used: schema, number of rows and digest of `table`, not its rows.

        Args:
            table: one row per picture.
            name: such as "photos-train".
            context: "training", "validation" or "test".
            digest: identifies the contents; cut at 36 characters.
            source: where the pictures come from: a URL, a folder or a data set's name.
        """
        if self._outbox is not None:
            self._put("dataset", context=context, dataset=data_entity(table, name, digest, source))

    def log_files(self, path: Path, artifact_path: str | None = None) -> None:
        """Log a file, or all files of a folder, as artifacts under `artifact_path` (None: the root)."""
        self._put("files", path=relative_path(path, self._directory), artifact_path=artifact_path)

    def log_pictures(self, directory: Path, artifact_path: str | None = None) -> None:
        """Log every PNG in `directory` as an artifact and, under its stem, as an image to compare runs by."""
        for picture in sorted(Path(directory).glob("*.png")):
            self.log_picture(picture, artifact_path)

    def log_picture(self, picture: Path, artifact_path: str | None = None) -> None:
        """Log one PNG as `log_pictures` does."""
        path = relative_path(picture, self._directory)
        self._put("picture", path=path, artifact_path=artifact_path, key=picture.stem, time=now())

    def log_preview(self, picture: Path) -> str:
        """Log a small copy of a PNG, and return it as Markdown for this run's description."""
        place = f"{PREVIEWS}/{picture.name}"
        self._put("preview", path=relative_path(picture, self._directory), artifact_path=place)
        return f"![{picture.stem}]({self.file_link(place)})"

    def log_served_model(
        self,
        directory: Path,
        *,
        step: int = 0,
        metrics: Mapping[str, float | None] | None = None,
        dataset: tuple[str, str] | None = None,
    ) -> None:
        """Log a folder's model for mlflow.pyfunc.load_model and serving: an experiment's best one, or an ensemble.

        Args:
            step: the epoch that it comes from.
            metrics: figures of the run that are the model's, too.
            dataset: name and digest of the pictures that they are of.
        """
        entries = self._put_metrics(metrics or {}, step=0)
        path = relative_path(directory, self._directory)
        self._put("model", path=path, step=step, metrics=entries, dataset=_dataset(dataset))

    def log_test(
        self,
        directory: Path,
        files: Sequence[str],
        *,
        checkpoint: str,
        metrics: Mapping[str, float | None],
        dataset: tuple[str, str],
    ) -> None:
        """Log figures of a test as those of the run, and of the model that it logged of the tested checkpoint.

        Args:
            directory: the experiment's folder, with the model's card.
            files: of the test, below that folder; they and the card are kept with the model.
            checkpoint: SHA-256 (hex) of what was tested, as `digest_of` has it.
            dataset: name and digest of the test pictures.
        """
        entries = self._put_metrics(metrics, step=0)
        content = {"files": list(files), "checkpoint": checkpoint, "dataset": _dataset(dataset)}
        self._put("test", path=relative_path(directory, self._directory), metrics=entries, **content)

    def _put_metrics(
        self, metrics: Mapping[str, float | None], step: int, what: Literal["metrics", "again"] = "metrics"
    ) -> list[list[Any]]:
        """Send figures, and return them as they were sent: name, value, time and step of each."""
        told = metrics.called if isinstance(metrics, Figures) else {}
        figures = {
            grouped(name): float(each) for name, each in metrics.items() if each is not None and math.isfinite(each)
        }
        if not figures or self._outbox is None:
            return []
        new = [name for name in figures if name not in self._names]
        self._names |= zip(new, metric_names(new, self._names.values()), strict=True)
        entries = [[self._names[name], value, now(), step] for name, value in figures.items()]
        called = {self._names[name]: told.get(name, name) for name in figures}
        tags = {f"{CALLED}{name}": own for name, own in called.items() if name != own}
        self._put(what, metrics=entries, **({"tags": tags} if tags else {}))
        return entries

    def _put(self, what: str, **content: Any) -> None:
        if self._outbox and self._run:
            self._outbox.put({"what": what, "run": self._run, **content})


def _dataset(known: tuple[str, str] | None) -> dict[str, str] | None:
    """Name and digest of pictures, as `log_dataset` keeps them."""
    return None if known is None else {"name": known[0], "digest": known[1][:DIGEST_LENGTH]}


def told_settings(config: ExperimentConfig) -> dict[str, Any]:
    """What a table of runs shows of a config, by dotted names: what names it, and what differs from the defaults."""
    usual = ExperimentConfig(experiment_name=config.experiment_name).flat()
    return {
        key: value
        for key, value in config.flat().items()
        # What a study would search says nothing of this run, and its name is the run's own.
        if key in NAMING or (usual.get(key) != value and not key.startswith(("tuning.", "tracking.")))
    }


def data_entity(table: pd.DataFrame, name: str, digest: str, source: str) -> dict[str, str | None]:
    """Name, digest, source, schema and size of `table`, as the fields of MLflow's Dataset entity."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    located = "://" in source or Path(source).exists()
    # A data set that only has a name, such as pictures inside installed packages, comes from code.
    origin = public_uri(source) if located else CodeDatasetSource({"source": source})
    with warnings.catch_warnings():
        # Hints of no use to who trains: a folder is a local source, and whole numbers cannot be missing.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
        warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer")
        data = from_pandas(table, source=origin, name=name, digest=digest[:DIGEST_LENGTH])
        entity = data._to_mlflow_entity()
    return {
        "name": entity.name,
        "digest": entity.digest,
        "source_type": entity.source_type,
        "source": entity.source,
        "schema": entity.schema,
        "profile": entity.profile,
    }
