"""From the name of a model to a folder that MLflow can serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iqa.errors import UserError
from iqa.tracking.models import BEST, SCHEMES, checkpoint_of, fetch_model
from iqa.tracking.serving import reads_what_is_sent, save_served_model
from iqa.tracking.store import good_manners


@dataclass(frozen=True)
class Servable:
    """A model in a folder of its own.

    Attributes:
        folder: what `mlflow models serve -m` takes.
        size: bytes of its checkpoint.
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
        model: an experiment folder (its best model), a checkpoint, `runs:/<id>`, `runs:/<id>/model`,
            `models:/<name>/<version>` or `models:/<name>@<alias>`.
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
    if found.is_file():
        checkpoint, note = found, ""
    else:
        checkpoint = checkpoint_of(found)
        if reads_what_is_sent(found):
            return Servable(found, checkpoint.stat().st_size)
        note = f"{model} is of an early version, which reads every file that a client names: served by today's code"
    with good_manners():
        save_served_model(checkpoint, folder / "model")
    return Servable(folder / "model", checkpoint.stat().st_size, note)


def _checkpoint(path: Path) -> Path:
    checkpoint = path / BEST if path.is_dir() else path
    if not checkpoint.is_file():
        # Imported late, for it brings torch: it knows what else a folder may hold, and says what is wrong.
        from iqa.scoring import load_model

        load_model(path)
        raise UserError(
            f"{path} is an ensemble, which cannot be served yet",
            expected="an experiment folder, a checkpoint, runs:/<id> or models:/<name>@<alias>",
            fix="serve one of its members",
        )
    return checkpoint
