"""From single ratings to a row for each picture, with their mean as its score and a word on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.manifest import ScoreScale
from iqa.data.scored.cells import shown
from iqa.data.scored.columns import ROLES, find_columns, text, words_of_splits
from iqa.data.scored.ratings.faults import SHOWN
from iqa.data.scored.ratings.rated import Ratings
from iqa.data.scored.ratings.screening import LEAST_PICTURES, LEAST_RATINGS, judge
from iqa.data.scored.rawset import RAW_COLUMNS
from iqa.errors import UserError, some

#: Of each picture, besides its ratings.
ABOUT = ("image", "group", "split", "subset")


@dataclass(frozen=True)
class Asked:
    """A table of ratings and how it is to be read.

    Attributes:
        frame: its cells, of any type.
        data: the settings.
        where: what the table is called in messages.
        units: what each row is called in messages, such as "line 7".
    """

    frame: pd.DataFrame
    data: DataConfig
    where: object
    units: Sequence[str]

    def label(self, place: int) -> str:
        """The name of a column, for messages."""
        return shown(self.frame.columns[place])

    def about(self, taken: Sequence[int]) -> dict[str, int | None]:
        """The columns that say what there is to say of pictures; `taken` hold something else."""
        return find_columns(self.frame, self.data, self.where, ABOUT, taken)

    def table(self, places: dict[str, int | None]) -> pd.DataFrame:
        """What each row says of its picture besides ratings, as RAW_COLUMNS."""
        table = pd.DataFrame(index=range(len(self.frame)), columns=list(RAW_COLUMNS), dtype=object)
        for role, place in places.items():
            table[role] = "" if place is None else np.array(text(self.frame.iloc[:, place]), dtype=object)
        table["split"] = np.array(words_of_splits(list(table["split"]), self.where), dtype=object)
        table["score"], table["kind"], table["level"] = np.nan, "", 0
        return table

    def taken_for(self, places: dict[str, int | None]) -> str:
        """Which columns say it, in words."""
        taken = {role: place for role, place in places.items() if place is not None}
        return ", ".join(f"{ROLES[role]} in '{self.label(place)}'" for role, place in taken.items())


@dataclass(frozen=True)
class Rated:
    """What a table of ratings says.

    Attributes:
        table: a row for each picture, columns RAW_COLUMNS; `score` is the mean of its ratings, NaN where it has none.
        scale: of the raters.
        said: what was taken for what, and what was left out, in words.
        rows: the row of the table that each picture is first named in.
        ratings: see `RawSet.ratings`; None where a table gives shares of ratings and does not say of how many.
    """

    table: pd.DataFrame
    scale: ScoreScale
    said: str
    rows: list[int]
    ratings: Ratings | None


def averaged(
    asked: Asked, table: pd.DataFrame, ratings: Ratings, scale: ScoreScale, rows: list[int], said: list[str]
) -> Rated:
    """The table with the means of the raters that are kept, and a word on all of them.

    Raises:
        UserError: there is no rating; raters are to be judged and none can be.
    """
    if not len(ratings.value):
        raise UserError(f"{asked.where} holds no rating", fix="set data.columns.ratings, or data.columns.score")
    if asked.data.screen_raters:
        ratings, word = _screened(ratings, asked.where)
        said = [*said, word]
    counts = ratings.counts[ratings.counts > 0]
    by = f" by {_so_many(len(ratings.raters), 'rater')}" if ratings.raters else ""
    least, most = counts.min(), counts.max()
    each = f"{least} to {most}" if least < most else str(most)
    said = [*said, f"{len(ratings.value):,} ratings of {_so_many(len(counts), 'picture')}{by}, {each} a picture"]
    said.append(f"scale {scale.low:g} to {scale.high:g}")
    if single := int((counts == 1).sum()):
        said.append(f"{_so_many(single, 'picture')} with a single rating, which says nothing of its own error")
    if once := int((ratings.by_rater == 1).sum()) if ratings.raters else 0:
        said.append(f"{_so_many(once, 'rater')} with a single rating, by which nobody can be judged")
    return Rated(table.assign(score=ratings.means()), scale, ", ".join(said), rows, ratings)


def no_numbers(label: str, where: object) -> UserError:
    """A column of ratings that holds none."""
    return UserError(
        f"column '{label}' of {where} holds no numbers",
        expected="ratings, as numbers such as 4",
        fix="set data.columns.score, or data.columns.ratings, to what holds the ratings",
    )


def _so_many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _screened(ratings: Ratings, where: object) -> tuple[Ratings, str]:
    """The ratings without those of rejected raters, and a word on these.

    Raises:
        UserError: nobody knows who rated, no rater gave enough ratings to be judged, or all are rejected.
    """
    judged = judge(ratings)
    if not judged.judged:
        known = f"{len(ratings.raters)} raters, the most ratings of one are {ratings.by_rater.max(initial=0)}"
        raise UserError(
            f"data.screen_raters: no rater of {where} can be judged",
            got=known if ratings.raters else "nobody knows who gave which rating",
            expected=f"raters by name, each of {LEAST_PICTURES} pictures or more that others rated, too (ITU-R BT.500: "
            f"with {LEAST_RATINGS} ratings or more)",
            fix="set data.screen_raters to false, or data.columns.rater to the column of the raters",
        )
    out = judged.out
    if len(out) == len(judged.names):
        raise UserError(f"data.screen_raters would leave no rater of {where}", fix="set it to false")
    names = [f"{shown(judged.names[place])} ({judged.rejected[place]})" for place in out]
    word = f"{len(out)} of {len(judged.names)} raters SCREENED OUT" + (f": {some(names, SHOWN)}" if names else "")
    return ratings.without(out), word
