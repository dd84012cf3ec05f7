"""From the name of a model to a folder that MLflow can serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iqa.tracking.models.fetching import BEST, SCHEMES, checkpoint_of, fetch_model
from iqa.tracking.models.logged import checkpoints, reads_what_is_sent, save_served_model
from iqa.tracking.store import good_manners


@dataclass(frozen=True)
class Servable:
    """A model in a folder of its own.

    Attributes:
        folder: what `mlflow models serve -m` takes.
        size: bytes of its checkpoints.
        note: what has to be said of it, or "".
    """

    folder: Path
    size: int
    note: str = ""


def make_servable(model: str, folder: Path) -> Servable:
    """Put a model into `folder` as MLflow serves it.

    A model that was logged is served as it is, with its own code. One of an early version would read every file that a
    client names: its checkpoint is served by the code of today.

    Args:
        model: an experiment folder (its best model), the folder of an ensemble, a checkpoint, a file that `iqa export`
            wrote, `runs:/<id>`, `runs:/<id>/model`, `models:/<name>/<version>` or `models:/<name>@<alias>`.
        folder: an empty one, kept as long as the model is served.

    Raises:
        UserError: there is no such model, or it cannot be served.
        IqaError: MLflow's server does not answer.
    """
    if model.startswith(SCHEMES):
        (folder / "fetched").mkdir()
        found = fetch_model(model, folder / "fetched")
    else:
        found = _checkpoint(Path(model))
    whole, note = found, ""
    if (found / "MLmodel").is_file():
        whole = checkpoint_of(found)
        if reads_what_is_sent(found):
            return Servable(found, _size(whole))
        note = f"{model} is of an early version, which reads every file that a client names: served by today's code"
    with good_manners():
        save_served_model(whole, folder / "model")
    return Servable(folder / "model", _size(whole), note)


def _size(model: Path) -> int:
    return sum(file.stat().st_size for file in checkpoints(model))


def _checkpoint(path: Path) -> Path:
    """What is served of a place on disk: a checkpoint, or the folder of an ensemble.

    Raises:
        UserError: there is neither.
    """
    checkpoint = path / BEST if path.is_dir() else path
    if not checkpoint.is_file():
        # Imported late, for it brings torch: it knows what else a folder may hold, and says what is wrong.
        from iqa.scoring import load_model

        load_model(path)
        return path
    return checkpoint
