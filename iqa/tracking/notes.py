"""The link between an experiment folder and its MLflow run, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.errors import IqaError, UserError, cut, first_line
from iqa.files import read_json, write_json
from iqa.tracking.sending.answers import answer_of
from iqa.tracking.store import connect, demand, good_manners, public_uri, shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE = "mlflow.json"
#: What a training run holds at the root of its artifacts, and an experiment folder on disk.
EXPERIMENT_FILES = ("config.json", "best_model.pth", "last_model.pth", "training_history.json")


def write_run_note(directory: Path, *, run_id: str, tracking_uri: str, experiment_id: str | None, **extra: Any) -> None:
    """Write `directory`/mlflow.json: where the run of this folder is. Passwords in the URI are left out."""
    note = {"run_id": run_id, "tracking_uri": public_uri(tracking_uri), "experiment_id": experiment_id}
    write_json(Path(directory) / NOTE, note | extra)


def read_run_note(directory: Path | None) -> dict[str, Any]:
    """What `write_run_note` wrote; empty where there is no readable note.

    Keys: run_id, tracking_uri, experiment_id and, after an outage, aliases.
    """
    if directory is None or not (Path(directory) / NOTE).is_file():
        return {}
    try:
        note = read_json(Path(directory) / NOTE)
    except UserError:
        return {}
    return note if isinstance(note, dict) and isinstance(note.get("run_id"), str) else {}


def note_alias(directory: Path | None, client: MlflowClient, uri: str, name: str, run_id: str) -> None:
    """Note the id that a server gave to a run which had the `name` before; later processes then know it by both.

    Raises:
        OSError, IqaError: it cannot be written.
    """
    note = read_run_note(directory)
    if directory and note:
        aliases = note.get("aliases", {}) | {name: run_id}
        own = run_id if note["run_id"] == name else note["run_id"]
        place = client.get_run(own).info.experiment_id
        write_run_note(directory, run_id=own, tracking_uri=uri, experiment_id=place, aliases=aliases)


@good_manners()
def fetch_experiment(uri: str, destination: Path, *, store: str | None = None) -> Path:
    """Download the training run `runs:/<id>` as an experiment folder.

    Args:
        uri: `runs:/<id>`.
        destination: folder to fill; created if missing.
        store: tracking URI; None takes MLFLOW_TRACKING_URI or MLflow's default.

    Returns:
        `destination`, holding config.json, training_history.json, mlflow.json and the checkpoints.

    Raises:
        UserError: malformed `uri`, unknown run, or a run without config and checkpoint.
        IqaError: the store does not answer.
    """
    scheme, _, run_id = uri.partition(":")
    run_id = run_id.strip("/")
    if scheme != "runs" or not run_id or "/" in run_id:
        raise UserError("this names no MLflow run", got=cut(uri), expected="runs:/<run id>")
    address = tracking_uri(store)
    demand(address)
    client = connect(address)
    try:
        run = client.get_run(run_id)
        stored = {item.path for item in client.list_artifacts(run_id)}
    except Exception as error:
        answer = answer_of(error)
        if answer.verdict == "unreachable":
            raise IqaError(f"the tracking server {shown(address)} {answer.told}", got=first_line(error)) from error
        raise UserError(
            f"{cut(uri)} is not in {shown(address)}",
            fix="copy the run id from the UI, and set MLFLOW_TRACKING_URI to the store that holds it",
        ) from error
    if "config.json" not in stored or not stored & {"best_model.pth", "last_model.pth"}:
        raise UserError(
            f"{cut(uri)} holds no trained model",
            got=cut(", ".join(sorted(stored))) or "no artifacts",
            expected="the run of a finished training: config.json and best_model.pth",
        )
    destination = Path(destination)
    destination.mkdir(parents=True, exist_ok=True)
    for name in EXPERIMENT_FILES:
        if name in stored:
            client.download_artifacts(run_id, name, str(destination))
    write_run_note(destination, run_id=run_id, tracking_uri=address, experiment_id=run.info.experiment_id)
    return destination
