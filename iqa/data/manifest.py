"""The table behind a set of pictures: one row each, with its content, split, distortion and score."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from iqa.errors import UserError

SPLITS = ("train", "val", "test")
PRISTINE = "pristine"
LEVELS = (1, 2, 3, 4, 5)
#: The 25 kinds of distortion of KADID-10k, in the order of its numbers 1 to 25, each with the group that it belongs to.
DISTORTIONS = {
    "gaussian_blur": "blur",
    "lens_blur": "blur",
    "motion_blur": "blur",
    "color_diffusion": "color",
    "color_shift": "color",
    "color_quantization": "color",
    "color_saturation_1": "color",
    "color_saturation_2": "color",
    "jpeg2000": "compression",
    "jpeg": "compression",
    "white_noise": "noise",
    "white_noise_color_component": "noise",
    "impulse_noise": "noise",
    "multiplicative_noise": "noise",
    "denoise": "noise",
    "brighten": "brightness",
    "darken": "brightness",
    "mean_shift": "brightness",
    "jitter": "spatial",
    "non_eccentricity_patch": "spatial",
    "pixelate": "spatial",
    "quantization": "spatial",
    "color_block": "spatial",
    "high_sharpen": "sharpness_contrast",
    "contrast_change": "sharpness_contrast",
}
#: image: the clean picture, such as "astronaut#3" (its fourth crop) or "cifar10/train/123".
#: content: the photograph it comes from, the group that never crosses splits.
#: subset: a part of the set that results are also given for, or "".
#: kind, level: the distortion, 1..5 (level 0 for an untouched picture); "" and 0 where none is known.
#: score: in [0, 1], higher is better. seed: of the distortion's randomness, 0 where there is none.
COLUMNS = ("image", "content", "split", "subset", "kind", "level", "score", "seed")
TYPES = {"level": "int64", "score": "float32", "seed": "int64"}


@dataclass(frozen=True)
class ScoreScale:
    """The scale that people scored on: its ends, and which of them is the good one."""

    low: float
    high: float
    higher_is_better: bool = True

    def to_unit(self, scores: pd.Series) -> pd.Series:
        """Scores on the set's own scale to [0, 1], higher is better."""
        share = (scores - self.low) / (self.high - self.low)
        return share if self.higher_is_better else 1 - share

    def from_unit(self, scores: pd.Series) -> pd.Series:
        """[0, 1], higher is better, back to the set's own scale and direction."""
        share = scores if self.higher_is_better else 1 - scores
        return self.low + share * (self.high - self.low)

    def to_dict(self) -> dict[str, float | bool]:
        return {"low": self.low, "high": self.high, "higher_is_better": self.higher_is_better}


#: The scale of pseudo-MOS and of scores inside the project.
UNIT = ScoreScale(0.0, 1.0)


def typed(manifest: pd.DataFrame) -> pd.DataFrame:
    """The columns in their order and types."""
    text = {column: "object" for column in COLUMNS if column not in TYPES}
    return manifest[list(COLUMNS)].astype(text | TYPES)


def validate(manifest: pd.DataFrame, *, scored: bool = True) -> None:
    """Check that a manifest is complete, that its values are possible and that no content crosses splits.

    Raises:
        UserError: naming the column and the first offending value.
    """
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise UserError("a manifest lacks columns", got=list(manifest.columns), expected=list(COLUMNS))
    if manifest.empty:
        raise UserError("a manifest has no rows", expected="at least one picture")
    _refuse(manifest, "split", ~manifest["split"].isin(SPLITS), f"one of {SPLITS}")
    undistorted = manifest["kind"].isin(["", PRISTINE])
    known = undistorted | manifest["kind"].isin(list(DISTORTIONS))
    _refuse(manifest, "kind", ~known, "'', 'pristine' or a known distortion")
    fits = np.where(undistorted, manifest["level"] == 0, manifest["level"].isin(LEVELS))
    _refuse(manifest, "level", ~fits, "0 for pictures without a distortion, else 1 to 5")
    if scored:
        _refuse(manifest, "score", ~manifest["score"].between(0, 1), "a number in [0, 1]")
    _refuse_two(manifest, "image", "content", "an image belongs to one content")
    _refuse_two(manifest, "content", "split", "no content in two splits: the test would be on known pictures")


def digest(manifest: pd.DataFrame) -> str:
    """SHA-256 (hex) of the manifest's values in their order."""
    return hashlib.sha256(to_csv(manifest)).hexdigest()


def to_csv(manifest: pd.DataFrame, known_by: Sequence[str] | None = None) -> bytes:
    """The manifest as CSV that reads back to the same values, with a further column of what pictures are known by."""
    table = manifest[list(COLUMNS)]
    table = table if known_by is None else table.assign(known_by=list(known_by))
    return str(table.to_csv(index=False, lineterminator="\n")).encode()


def from_csv(path: Path) -> pd.DataFrame:
    """What `to_csv` wrote: pictures called 007 or NA keep their names."""
    return typed(_read(path))


def from_csv_with_digests(path: Path) -> pd.DataFrame:
    """The same with the column `known_by`, "" where the file was written without it."""
    table = _read(path)
    return typed(table).assign(known_by=table.get("known_by", ""))


def _read(path: Path) -> pd.DataFrame:
    text = {column: str for column in (*COLUMNS, "known_by") if column not in TYPES}
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def _refuse(manifest: pd.DataFrame, column: str, wrong: object, expected: str) -> None:
    rows = manifest[np.asarray(wrong, dtype=bool)]
    if len(rows):
        raise UserError(
            f"column '{column}' of a manifest has {len(rows)} impossible values",
            got=f"{rows[column].iloc[0]!r} for {rows['image'].iloc[0]}",
            expected=expected,
        )


def _refuse_two(manifest: pd.DataFrame, member: str, group: str, rule: str) -> None:
    if manifest[member].is_unique:
        return
    pairs = manifest[[member, group]].drop_duplicates()
    crossing = pairs[member][pairs[member].duplicated()].drop_duplicates()
    if len(crossing):
        name = crossing.min()
        found = sorted(manifest.loc[manifest[member] == name, group].unique())
        raise UserError(
            f"{len(crossing)} times a {member} has several values of '{group}'",
            got=f"{name}: {found}",
            expected=rule,
        )
