"""What a table of scores says, before its pictures are looked for: the link between tables, presets and joining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from iqa.data.manifest import ScoreScale
from iqa.data.scored.ratings.rated import Ratings

#: image: the picture's name as the table gives it, relative to `RawSet.image_root`, with / between folders.
#: score: float64 on the set's own scale; NaN where the table holds no number.
#: group: pictures of one group (one reference, one scene) never cross splits; "" where each stands alone.
#: split: "train", "val", "test", or "" where the set leaves it open.
#: subset: a part of the set that results are also given for; "" for none.
#: kind, level: distortion by its name in `iqa.data.manifest.DISTORTIONS` and 1..5; "" and 0 for any other.
RAW_COLUMNS = ("image", "score", "group", "split", "subset", "kind", "level")


@dataclass(frozen=True)
class RawSet:
    """A scored set as its table tells it.

    Attributes:
        table: one row per line of the table, or per picture where it has several ratings of one; columns
            RAW_COLUMNS; nothing is dropped or joined yet.
        image_root: the folder that `image` is relative to.
        scale: where scores lie; scores beyond its ends are faults.
        files: the tables that were read: part of the set's fingerprint.
        said: what was taken for what in them, in words; "" where that is known.
        lines: where in its file each row is, from 1; empty where that is not known.
        unit: what these numbers count: "line" or "row".
        ratings: the single ratings that scores are the means of, those of picture n being of row n of the table; None
            where the table has one score a picture.
    """

    table: pd.DataFrame
    image_root: Path
    scale: ScoreScale
    files: tuple[Path, ...]
    said: str = ""
    lines: Sequence[int] = ()
    unit: str = "row"
    ratings: Ratings | None = None
