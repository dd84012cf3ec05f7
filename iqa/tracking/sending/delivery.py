"""What goes to MLflow, one JSON-able delivery at a time, and how each is handed over.

A delivery is {"what": ..., "run": run id, ...}. Being plain values it can wait in a file until the server is
back. Handing the same delivery over twice leaves the same run (but for a second copy of a picture).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.errors import UserError, cut
from iqa.tracking.endings import PROCESS_TAG, bury_dead_runs
from iqa.tracking.sending.known import forget_error, missing
from iqa.tracking.sending.parts import BATCHED, Delivery
from iqa.tracking.store import METRICS_PER_BATCH, PARAMS_PER_BATCH, TAGS_PER_BATCH
from iqa.tracking.view import experiment_tags, introduce

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

#: The file of an experiment folder that holds what is undelivered, one delivery a line.
PENDING = "tracking_pending.jsonl"
#: Key of an opening that a process left which was killed: the run may be there.
TRIED = "tried"

#: Limits of MLflow: characters of a parameter, of a tag.
PARAM_LENGTH, TAG_LENGTH = 6000, 8000
#: Such as bold-crab-123.
RANDOM_NAME = r"[a-z]+-[a-z]+-\d{1,4}"
#: Pixels of a picture in a description, beside which a run's facts still fit on a laptop's screen.
PREVIEW = (560, 560)
#: What goes to the place of files, which may fail while the server takes figures.
CARRY_FILES = frozenset({"text", "files", "picture", "preview", "model", "test"})


def create_run(client: MlflowClient, delivery: Delivery) -> str:
    """Open a run in the wanted experiment (made if missing) and return its id.

    One that a killed process may have opened is looked for first.
    """
    from mlflow.tracking.context.registry import resolve_tags

    place = experiment_id(client, delivery["experiment"])
    if delivery.get(TRIED) and (opened := opened_before(client, place, delivery)):
        return opened
    run = client.create_run(
        place,
        start_time=delivery["start_time"],
        tags=resolve_tags(texts(delivery["tags"])),
        run_name=delivery["name"],
    )
    return str(run.info.run_id)


def opened_before(client: MlflowClient, place: str, delivery: Delivery) -> str | None:
    """The id of the run that came of this very delivery: its process opened one of this name in this millisecond."""
    writer = delivery["tags"].get(PROCESS_TAG)
    same = f"tags.{PROCESS_TAG} = '{writer}' AND attributes.start_time = {delivery['start_time']}"
    found = client.search_runs([place], same) if writer else []
    return next((run.info.run_id for run in found if run.info.run_name == delivery["name"]), None)


def experiment_id(client: MlflowClient, wanted: dict[str, str]) -> str:
    """The id of {"id": ...} or {"name": ...}; one of a new name is made.

    Raises:
        UserError: there is none of this id, or it was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = find_experiment(client, wanted)
    if found is None:
        try:
            return str(client.create_experiment(wanted["name"], tags=experiment_tags()))
        except MlflowException:
            found = find_experiment(client, wanted)  # another process was quicker
    if found is None:
        raise UserError(f"the MLflow experiment '{cut(wanted['name'])}' cannot be used", got="it cannot be created")
    introduce(client, found)
    return str(found.experiment_id)


def find_experiment(client: MlflowClient, wanted: dict[str, str]) -> Experiment | None:
    """The experiment {"id": ...} or {"name": ...}; None where there is none of this name yet.

    Raises:
        UserError: there is none of this id, or it was deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment(wanted["id"]) if "id" in wanted else client.get_experiment_by_name(wanted["name"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"MLflow has no experiment {cut(wanted['id'])}", fix="set MLFLOW_EXPERIMENT_NAME, or neither"
        ) from error
    if found is not None and found.lifecycle_stage == "deleted":
        raise UserError(
            f"the MLflow experiment '{cut(found.name)}' cannot be used",
            got="it was deleted",
            fix=f"mlflow experiments restore --experiment-id {found.experiment_id}, or another name",
        )
    return found


def find_run(client: MlflowClient, run_id: str) -> Run:
    """A run that can be written to.

    Raises:
        UserError: it was deleted.
    """
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        raise UserError(f"the run {run_id} was deleted", fix=f"mlflow runs restore --run-id {run_id}")
    return run


def reopen_run(client: MlflowClient, delivery: Delivery) -> None:
    """Set a run going again; one that `mlflow run` gave a random name gets ours."""
    run = find_run(client, delivery["run"])
    unnamed = re.fullmatch(RANDOM_NAME, run.info.run_name or "")
    introduce(client, client.get_experiment(run.info.experiment_id))
    # The tags first: a run that is RUNNING by the name of the process that left it would be buried.
    send_batch(client, delivery)
    client.update_run(delivery["run"], status="RUNNING", name=delivery["name"] if unnamed else None)
    forget_error(client, run)


def send_batch(client: MlflowClient, delivery: Delivery) -> None:
    """Log what there is of params, metrics ([name, value, time in ms, step]) and tags, together where MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in delivery.get("params", {}).items()]
    metrics = [Metric(*entry) for entry in delivery.get("metrics", [])]
    tags = [RunTag(key, value) for key, value in texts(delivery.get("tags", {})).items()]
    while params or metrics or tags:
        client.log_batch(
            delivery["run"],
            metrics=metrics[:METRICS_PER_BATCH],
            params=params[:PARAMS_PER_BATCH],
            tags=tags[:TAGS_PER_BATCH],
        )
        params, metrics, tags = params[PARAMS_PER_BATCH:], metrics[METRICS_PER_BATCH:], tags[TAGS_PER_BATCH:]


def send_again(client: MlflowClient, delivery: Delivery) -> None:
    """Log those figures of a resumed run that it lacks."""
    send_batch(client, delivery | {"metrics": missing(client, delivery["run"], delivery.get("metrics", []))})


def send_params(client: MlflowClient, delivery: Delivery) -> None:
    """Log settings of a run that may have some. MLflow never changes one: what a resumed run sets anew becomes a tag
    `param.<name>`.
    """
    known = client.get_run(delivery["run"]).data.params
    values = {key: str(value)[:PARAM_LENGTH] for key, value in delivery["params"].items()}
    new = {key: value for key, value in values.items() if key not in known}
    changed = {f"param.{key}": value for key, value in values.items() if known.get(key, value) != value}
    send_batch(client, {"run": delivery["run"], "params": new, "tags": changed})


def send_text(client: MlflowClient, delivery: Delivery) -> None:
    client.log_text(delivery["run"], delivery["text"], delivery["file"])


def send_files(client: MlflowClient, delivery: Delivery) -> None:
    """Log a file, or what is in a folder but for hidden files and our own bookkeeping."""
    path, place = Path(delivery["path"]), delivery["artifact_path"]
    if not path.exists():
        raise FileNotFoundError(f"{path} is gone")
    for entry in sorted(path.iterdir()) if path.is_dir() else [path]:
        if entry.name == PENDING or entry.name.startswith("."):
            continue
        if entry.is_dir():
            client.log_artifacts(delivery["run"], str(entry), f"{place}/{entry.name}" if place else entry.name)
        else:
            client.log_artifact(delivery["run"], str(entry), place)


def send_picture(client: MlflowClient, delivery: Delivery) -> None:
    """Log a PNG twice: as a file to download, and as an image that the UI compares across runs."""
    from PIL import Image

    send_files(client, delivery)
    with Image.open(delivery["path"]) as picture:
        client.log_image(
            delivery["run"],
            picture.convert("RGB"),
            key=delivery["key"],
            step=0,
            timestamp=delivery["time"],
            synchronous=True,
        )


def send_preview(client: MlflowClient, delivery: Delivery) -> None:
    """Log a small copy of a picture, for a description: there the UI shows pictures pixel by pixel, however wide."""
    from PIL import Image

    with Image.open(delivery["path"]) as picture:
        picture.thumbnail(PREVIEW)
        client.log_image(delivery["run"], picture.convert("RGB"), artifact_file=delivery["artifact_path"])


def send_dataset(client: MlflowClient, delivery: Delivery) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    used_for = InputTag("mlflow.data.context", delivery["context"])
    client.log_inputs(delivery["run"], datasets=[DatasetInput(Dataset(**delivery["dataset"]), [used_for])])


def send_model(client: MlflowClient, delivery: Delivery) -> None:
    """Log a folder's model. What waits since an earlier version says nothing of its step and figures."""
    from iqa.tracking.models.logged import log_served_model

    known = {key: delivery[key] for key in ("step", "metrics", "dataset") if key in delivery}
    log_served_model(client, delivery["run"], Path(delivery["path"]), **known)


def send_test(client: MlflowClient, delivery: Delivery) -> None:
    """Add to the model that was tested what the test found, its card included."""
    from iqa.tracking.models.logged import CARD, TEST, log_test

    folder = Path(delivery["path"])
    files = {f"{TEST}/{Path(name).name}": folder / name for name in delivery["files"]}
    known = {key: delivery[key] for key in ("checkpoint", "metrics", "dataset")}
    log_test(client, delivery["run"], files | {CARD: folder / CARD}, **known)


def end_run(client: MlflowClient, delivery: Delivery) -> None:
    client.set_terminated(delivery["run"], status=delivery["status"], end_time=delivery["time"])


def bury(client: MlflowClient, delivery: Delivery) -> None:
    bury_dead_runs(client, delivery["run"])


SENDERS: dict[str, Callable[[MlflowClient, Delivery], None]] = {
    "reopen": reopen_run,
    "params": send_params,
    **dict.fromkeys(BATCHED, send_batch),
    "again": send_again,
    "text": send_text,
    "files": send_files,
    "picture": send_picture,
    "preview": send_preview,
    "dataset": send_dataset,
    "model": send_model,
    "test": send_test,
    "end": end_run,
    "bury": bury,
}


def texts(tags: dict[str, Any]) -> dict[str, str]:
    """Tags as texts that every database takes."""
    return {
        key: str(value)[:TAG_LENGTH].encode(errors="backslashreplace").decode().replace("\0", "\\x00")
        for key, value in tags.items()
        if value is not None
    }


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)
