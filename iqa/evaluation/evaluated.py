"""A model's answers on a split, beside the truth: what every figure and number of the report is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iqa.data.manifest import DISTORTIONS, PRISTINE, UNIT, ScoreScale
from iqa.errors import UserError
from iqa.resampling import MIN_GROUPS

#: What pictures of no listed distortion, such as real photographs with human scores, are counted as.
NO_GROUP = "none"
COLUMNS = ("image", "content", "split", "kind", "level", "score")
#: Intervals drawn from fewer contents (clean pictures) than this are shown with a warning.
FEW_CONTENTS = 10
PSEUDO = "pseudo-MOS"
PSEUDO_CAVEAT = "pseudo-MOS: human mean for this kind and level of distortion, not scores of this picture by people"


def interval_caveat(contents: int) -> str:
    """What has to be said beside intervals that were drawn from so many contents; mostly nothing."""
    if contents >= FEW_CONTENTS:
        return ""
    return f"only {contents} contents: " + ("no intervals" if contents < MIN_GROUPS else "intervals are rough")


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A trained model's answers on N pictures.

    Attributes:
        predicted: [N] predicted scores.
        true: [N] scores, on the same scale, higher is better.
        responsibilities: [N, K] share of each mixture component in each picture, or None without a mixture.
        log_likelihood: [N] of each picture under the mixture, or None.
        z: [N, d] the points that the mixture sees, or None.
        covariance: the mixture's type of covariance, "diag" or "tied".
        features: [N, D] what PCA and t-SNE are drawn from.
        table: N rows with at least COLUMNS; `content` is the clean picture a picture was made from, `kind`
            and `level` its distortion (missing where there is none).
        thumbnail: row number -> [H, W, 3] uint8 picture.
        score_name: what the scores are, as figures label them: "MOS" or "pseudo-MOS".
        scale: the scale that people scored the pictures on; `true` is its share of it.
        calibrated: [N] predictions on the scale that the model was trained on, or None.
        not_calibrated: why `calibrated` are the model's own scores, stretched to the scale; empty where they are not.
        low, high: [N] ends of the intervals that hold `true` for `coverage` of pictures, in 0-1; or None.
        no_intervals: why there are none; empty where there are.
        trained_on: the data set that the model learned from, where it is another one than this.
        data: SHA-256 (hex) of the set that they are of, or "".

    Raises:
        UserError: the parts are not about the same number of pictures, or a column is missing.
    """

    predicted: NDArray[np.floating]
    true: NDArray[np.floating]
    responsibilities: NDArray[np.floating] | None
    log_likelihood: NDArray[np.floating] | None
    features: NDArray[np.floating]
    table: pd.DataFrame
    thumbnail: Callable[[int], NDArray[np.uint8]]
    score_name: str
    scale: ScoreScale = UNIT
    calibrated: NDArray[np.floating] | None = None
    not_calibrated: tuple[str, ...] = ()
    low: NDArray[np.floating] | None = None
    high: NDArray[np.floating] | None = None
    coverage: float = 0.9
    no_intervals: tuple[str, ...] = ()
    trained_on: str | None = None
    data: str = ""
    z: NDArray[np.floating] | None = None
    covariance: Literal["diag", "tied"] = "diag"

    def __post_init__(self) -> None:
        if missing := [name for name in COLUMNS if name not in self.table.columns]:
            raise UserError("the table of pictures lacks columns", got=missing, expected=", ".join(COLUMNS))
        parts = {
            "predicted": self.predicted,
            "true": self.true,
            "responsibilities": self.responsibilities,
            "log_likelihood": self.log_likelihood,
            "z": self.z,
            "features": self.features,
            "calibrated": self.calibrated,
            "low": self.low,
            "high": self.high,
            "table": self.table,
        }
        lengths = {name: len(part) for name, part in parts.items() if part is not None}
        if len(set(lengths.values())) > 1:
            raise UserError("predictions and pictures do not pair up", got=lengths, expected="one row per picture")

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def caveat(self) -> str | None:
        """What has to be said beside these scores wherever they are shown, or None for people's own."""
        said = [PSEUDO_CAVEAT] if self.score_name == PSEUDO else []
        if self.trained_on:
            said.append(
                f"trained on {self.trained_on}: compare ranks and mapped figures; raw PLCC and RMSE mix two scales"
            )
        return "; ".join(said) or None

    @cached_property
    def n_contents(self) -> int:
        """How many different clean pictures these were made from."""
        return int(self.table["content"].astype(str).nunique())

    @property
    def error(self) -> NDArray[np.floating]:
        """[N] predicted minus true score."""
        return np.asarray(self.predicted, dtype=np.float64) - np.asarray(self.true, dtype=np.float64)

    @property
    def n_clusters(self) -> int:
        """Components of the mixture; 0 without one."""
        return 0 if self.responsibilities is None else self.responsibilities.shape[1]

    @cached_property
    def clusters(self) -> NDArray[np.intp] | None:
        """[N] the component with the largest responsibility for each picture, or None without a mixture."""
        return None if self.responsibilities is None else np.argmax(self.responsibilities, axis=1)

    @cached_property
    def kinds(self) -> list[str]:
        """[N] kind of distortion of each picture; NO_GROUP where the table names none."""
        return [NO_GROUP if pd.isna(kind) or kind == "" else str(kind) for kind in self.table["kind"]]

    @cached_property
    def subsets(self) -> list[str]:
        """[N] subset of each picture; NO_GROUP where the set has none."""
        if "subset" not in self.table:
            return [NO_GROUP] * len(self)
        return [NO_GROUP if pd.isna(name) or name == "" else str(name) for name in self.table["subset"]]

    @cached_property
    def groups(self) -> list[str]:
        """[N] family of distortion: blur, noise, ..., or the kind itself where it belongs to none."""
        return [DISTORTIONS.get(kind, kind) for kind in self.kinds]


def together(parts: Sequence[Evaluated]) -> Evaluated:
    """Several models' answers on the same pictures as those of one, which says the mean of their scores.

    The mixture's part is that of the first that has one; `features` are all of theirs, each model's at unit spread.

    Raises:
        UserError: they were not asked about the same pictures.
    """
    first = parts[0]
    for part in parts[1:]:
        if list(part.table["image"]) != list(first.table["image"]) or not np.allclose(part.true, first.true):
            shared = len(set(first.table["image"]) & set(part.table["image"]))
            raise UserError(
                "the models of an ensemble were tested on different pictures",
                got=f"{len(first)} and {len(part)} pictures, {shared} of one name",
                expected="one test split for all: the same data section and split_seed",
            )
    describer = next((part for part in parts if part.responsibilities is not None), first)

    def mean(name: str) -> NDArray[np.floating] | None:
        """Of what all of them have."""
        values = [getattr(part, name) for part in parts if getattr(part, name) is not None]
        return np.asarray(np.mean(values, axis=0)) if len(values) == len(parts) else None

    return replace(
        first,
        predicted=np.mean([part.predicted for part in parts], axis=0),
        responsibilities=describer.responsibilities,
        log_likelihood=describer.log_likelihood,
        z=describer.z,
        covariance=describer.covariance,
        features=np.hstack([part.features / (float(part.features.std()) or 1.0) for part in parts]),
        calibrated=mean("calibrated"),
        low=mean("low"),
        high=mean("high"),
        no_intervals=tuple(dict.fromkeys(note for part in parts for note in part.no_intervals)),
        not_calibrated=tuple(dict.fromkeys(note for part in parts for note in part.not_calibrated)),
    )


def order(names: list[str]) -> list[str]:
    """The distinct names: untouched first, then distortions and their groups as KADID-10k lists them."""
    known = [PRISTINE, *DISTORTIONS, *DISTORTIONS.values()]
    present = set(names)
    return [name for name in dict.fromkeys(known) if name in present] + sorted(present - set(known))
