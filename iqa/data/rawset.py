"""What a table of scores says, before its pictures are looked for: the link between tables, presets and joining."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

#: image: the picture's name as the table gives it, relative to `RawSet.image_root`, with / between folders.
#: score: float64 on the set's own scale; NaN where the table holds no number.
#: group: pictures of one group (one reference, one scene) never cross splits; "" where each stands alone.
#: split: "train", "val", "test", or "" where the set leaves it open.
#: subset: a part of the set that results are also given for; "" for none.
#: kind, level: distortion by its name in `iqa.data.distortions.KINDS` and 1..5; "" and 0 for any other.
RAW_COLUMNS = ("image", "score", "group", "split", "subset", "kind", "level")


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


@dataclass(frozen=True)
class RawSet:
    """A scored set as its table tells it.

    Attributes:
        table: one row per line of the table, columns RAW_COLUMNS; nothing is dropped or joined yet.
        image_root: the folder that `image` is relative to.
        scale: where scores lie; scores beyond its ends are faults.
        files: the tables that were read: part of the set's fingerprint.
    """

    table: pd.DataFrame
    image_root: Path
    scale: ScoreScale
    files: tuple[Path, ...]
