"""Which columns of a table hold single ratings, who gave them, and what score a column of counts stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.scored.cells import MOST, columns_shown, is_number, share, shown
from iqa.data.scored.columns import given, plain
from iqa.errors import UserError

#: Usual names, as `plain` writes them, in order of preference.
RATERS = ("rater", "observer", "subject", "participant", "worker", "annotator", "viewer", "assessor", "evaluator",
          "voter", "user", "judge", "labeler")  # fmt: skip
RATINGS = ("rating", "vote", "opinion", "opinionscore", "stars", "score", "quality", "value", "mos")
#: How columns of raters, and of counts, are called before their numbers.
RATER_PREFIXES = (*RATERS, "rating", "score", "vote", "obs", "subj", "sub", "user", "r", "s", "o", "u", "p", "v")
COUNT_PREFIXES = ("", "c", "n", "count", "counts", "num", "votes", "vote", "score", "rating", "star", "stars", "s", "r",
                  "level")  # fmt: skip
#: How columns are called that say how many ratings a picture has.
TOTALS = ("ctotal", "total", "n", "votes", "numvotes", "nvotes", "numratings", "nratings", "count", "totalvotes")
#: What the absolute category rating of ITU-T P.910 calls its scores.
WORDS = {"bad": 1.0, "poor": 2.0, "fair": 3.0, "good": 4.0, "excellent": 5.0}


def rater_place(frame: pd.DataFrame, data: DataConfig, where: object) -> int | None:
    """The column that says who gave a rating; None where there is none.

    Raises:
        UserError: `data.columns.rater` is not there.
    """
    labels = list(frame.columns)
    if data.columns.rater not in (None, ""):
        return given(labels, data.columns.rater, "rater", where)
    if data.columns.rater == "":
        return None
    usual = [f"{name}{end}" for name in RATERS for end in ("", "id", "name")]
    return _named(labels, usual)


def rating_place(frame: pd.DataFrame, data: DataConfig, where: object, taken: Sequence[int | None]) -> int:
    """The column that holds one rating in each row: as the settings or its name say, else the one of numbers.

    Raises:
        UserError: it is not there, or cannot be told.
    """
    labels = list(frame.columns)
    if data.columns.score not in (None, ""):
        return given(labels, data.columns.score, "score", where)
    free = [place for place in range(len(labels)) if place not in taken]
    usual = _named([label if place in free else "" for place, label in enumerate(labels)], RATINGS)
    if usual is not None:
        return usual
    found = [place for place in free if share(frame.iloc[:, place], is_number) > MOST]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"the column of the ratings cannot be told in {where}",
        got=f"columns that may be it: {columns_shown(labels[place] for place in found)}" if found else "no numbers",
        expected=f"one of its columns: {columns_shown(labels)}",
        fix="set data.columns.score",
    )


def rating_places(frame: pd.DataFrame, data: DataConfig, where: object) -> list[int]:
    """The columns of the raters, or those that count ratings: as the settings say, else by names with a number.

    Raises:
        UserError: a column is not there or named twice, there are fewer than two, or they cannot be told.
    """
    labels = list(frame.columns)
    if data.columns.ratings is not None:
        places = [given(labels, column, "ratings", where) for column in data.columns.ratings]
        if len(set(places)) < 2 or len(set(places)) < len(places):
            raise UserError(
                "data.columns.ratings names too few columns, or one of them twice",
                got=columns_shown(labels[place] for place in places) or "none",
                expected="two columns or more, each once",
            )
        return places
    families: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, label in enumerate(labels):
        match = re.fullmatch(r"(.*?)(?:id|number|no)?(\d+)", plain(label)) if isinstance(label, str) else None
        if match and match[1] in (RATER_PREFIXES if data.ratings == "wide" else COUNT_PREFIXES):
            families[match[1]].append((int(match[2]), place))
    found = [sorted(family) for family in families.values() if len(family) > 1]
    if len(found) != 1:
        names = [columns_shown((labels[place] for _, place in family), 3) for family in found]
        what = "the raters" if data.ratings == "wide" else "counts of ratings"
        raise UserError(
            f"the columns of {what} cannot be told in {where}",
            got=f"{len(found)} sets of columns that may be it: {'; '.join(names)}" if found else "none of a usual name",
            expected=f"some of its columns: {columns_shown(labels)}",
            fix='set data.columns.ratings to their names, such as \'["r1", "r2", "r3"]\'',
        )
    return [place for _, place in found[0]]


def total_place(frame: pd.DataFrame, taken: Sequence[int | None]) -> int | None:
    """The column that says how many ratings each picture has, if there is one."""
    labels = ["" if place in taken else label for place, label in enumerate(frame.columns)]
    return _named(labels, TOTALS)


def scores_counted(labels: Sequence[object], data: DataConfig, where: object) -> np.ndarray:
    """The score that each column of counts stands for: the number or the word of its name, else evenly on the scale.

    Raises:
        UserError: names tell no scores, or one of them twice, and `data.score_range` is not given.
    """
    numbers = [re.findall(r"\d+(?:\.\d+)?", str(label)) if isinstance(label, str) else [] for label in labels]
    words = [WORDS.get(plain(label)) for label in labels]
    values = [float(found[-1]) if found else word for found, word in zip(numbers, words, strict=True)]
    if None not in values and len(set(values)) == len(values):
        return np.array(values, dtype=np.float64)
    if data.score_range is not None:
        return np.linspace(*data.score_range, len(labels))
    raise UserError(
        f"the scores that columns of {where} count cannot be told from their names",
        got=", ".join(shown(label) for label in labels),
        expected="names that end in the score, such as 1, 2, ... or c1, c2, ..., or bad, poor, fair, good, excellent",
        fix="set data.score_range to the ends of the scale, and data.columns.ratings to the columns in its order",
    )


def _named(labels: Sequence[object], usual: Sequence[str]) -> int | None:
    """The first column of the usual name that goes first."""
    names = [plain(label) if isinstance(label, str) else "" for label in labels]
    return next((names.index(name) for name in usual if name in names), None)
