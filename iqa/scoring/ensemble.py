"""Several trained experiments that score as one: the mean of what each says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from iqa.errors import UserError
from iqa.files import experiment_label, read_json, split_folder, write_json
from iqa.scoring.base import BATCH_SIZE, PictureScorer
from iqa.scoring.onnx_scorer import SUFFIX, OnnxScorer
from iqa.scoring.picture import Picture
from iqa.scoring.scale import BOUNDS, COVERAGE

#: In the folder of an ensemble: which experiments it is made of, relative to that folder.
MEMBERS = "ensemble.json"


class Ensemble:
    """The mean of several models, each of which cuts pictures as it learned to; used like a `PictureScorer`.

    Cluster, log-likelihood and typicality are those of the first member that has a mixture. The ends of intervals are
    means, too: a mean of members errs less than they do, so that its intervals hold for somewhat more pictures than
    they say.

    Attributes:
        config: that of the first member, under the ensemble's name.
        digest: SHA-256 (hex) of the members' checkpoints.
        epoch: None: each member has its own.
        score_name: what its scores imitate, "pseudo-MOS" or "MOS".

    Raises:
        UserError: the members' scores are not of one kind.
    """

    def __init__(self, members: Sequence[PictureScorer], name: str) -> None:
        kinds = {
            f"{member.score_name} of {member.config.data.dataset}, on the scale "
            f"{member.calibration.scale if member.calibration else 'of the model'}"
            for member in members
        }
        if len(kinds) != 1:
            raise UserError(
                "the members of an ensemble were trained on different scores",
                got="; ".join(sorted(kinds)) or "no member",
                expected="experiments on one data set",
            )
        self.members = list(members)
        self.config = members[0].config.model_copy(update={"experiment_name": name})
        self.digest = hashlib.sha256(" ".join(member.digest for member in members).encode()).hexdigest()
        self.epoch: int | None = None
        self.score_name = members[0].score_name
        self.device = members[0].device
        self._describes = next((n for n, member in enumerate(members) if member.config.model.n_clusters), 0)

    def score(self, pictures: Sequence[Picture], *, on_error: Literal["raise", "row"] = "raise") -> pd.DataFrame:
        """Score pictures of any size, as `PictureScorer.score` does."""
        parts = list(self.score_stream(pictures, on_error=on_error))
        return pd.concat(parts) if parts else self.members[0].score([], on_error=on_error)

    def score_stream(
        self,
        pictures: Iterable[Picture],
        *,
        on_error: Literal["raise", "row"] = "raise",
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
    ) -> Iterator[pd.DataFrame]:
        """The rows of `score` for any number of pictures, as `PictureScorer.score_stream` gives them.

        `batch_size` pictures are held at a time, for every member decodes them for itself.
        """
        waiting, given = iter(pictures), 0
        # A batch of no pictures is none to stop at: the members refuse it.
        while held := list(islice(waiting, max(1, batch_size))):
            tables = [
                pd.concat(list(member.score_stream(held, on_error=on_error, batch_size=batch_size, workers=workers)))
                for member in self.members
            ]
            yield self._mean(tables).set_axis(range(given, given + len(held)))
            given += len(held)

    @property
    def not_calibrated(self) -> tuple[str, ...]:
        """Why calibrated scores of members are their own, only stretched to the scale."""
        return tuple(dict.fromkeys(note for member in self.members for note in member.not_calibrated))

    @property
    def no_intervals(self) -> tuple[str, ...]:
        """Why members' scores, and so the mean, come without intervals."""
        return tuple(dict.fromkeys(note for member in self.members for note in member.no_intervals))

    @property
    def coverage(self) -> float:
        """Share of pictures that the ends of members' intervals hold for."""
        return self.members[0].coverage

    def _mean(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """One table out of the members'; a picture that one of them cannot score has no score."""
        table = tables[self._describes].copy()
        for column in ("score", "calibrated", *BOUNDS):
            table[column] = np.mean([part[column] for part in tables], axis=0)
        if "error" in table:
            for part in tables:
                table["error"] = table["error"].where(table["error"].notna(), part["error"])
            table["error"] = table["error"].astype(object).where(table["error"].notna(), None)
        return table


def load_model(path: str | Path, device: str = "auto", coverage: float = COVERAGE) -> PictureScorer | Ensemble:
    """Load an experiment folder (its best model), the folder of an ensemble, a checkpoint file or an exported model.

    Raises:
        UserError: there is none, or it is damaged or of another kind; torch is missing for all but an exported model.
    """
    path = Path(path)
    if path.suffix == SUFFIX:
        return OnnxScorer(path, device, coverage)
    try:
        # Imported late: an exported model is scored where there is no torch.
        from iqa.scoring.scorer import load_scorer
        from iqa.training.checkpoints import BEST
    except ImportError as error:
        raise UserError(
            f"{path} cannot be loaded without {error.name}",
            expected=f"torch and timm, or a file ending in {SUFFIX}",
            fix=f"where they are installed: iqa export {path} --format onnx",
        ) from error
    if (first := split_folder(path, 0)).is_dir() and not (path / BEST).exists():
        raise UserError(f"{path} holds several splits, each a model of its own", fix=f"take one: {first}")
    if (members := read_members(path)) is None:
        return load_scorer(path, device, coverage)
    return Ensemble([load_scorer(member, device, coverage) for member in members], experiment_label(path))


def write_members(folder: Path, members: Sequence[Path]) -> None:
    """Make `folder` that of an ensemble of these experiment folders.

    Raises:
        IqaError: no room on the disk.
    """
    write_json(folder / MEMBERS, {"members": [os.path.relpath(member, folder) for member in members]})


def read_members(folder: Path) -> list[Path] | None:
    """The experiment folders of an ensemble; None where `folder` is not one's.

    Raises:
        UserError: the file that names them is damaged.
    """
    file = folder / MEMBERS
    if not file.is_file():
        return None
    content = read_json(file)
    named = content.get("members") if isinstance(content, dict) else None
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise UserError(
            f"{file} is damaged", got=str(content)[:80], expected="members: a list of folders", fix="make it again"
        )
    return [Path(os.path.normpath(folder / name)) for name in named]
