"""Tables with several ratings of a picture: a row for each, a column for each rater, or counts of each score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.scored.cells import shown
from iqa.data.scored.columns import numbers, open_own, score_scale, text
from iqa.data.scored.ratings.counts import read_counts
from iqa.data.scored.ratings.faults import Faults, add_no_numbers, on_scale
from iqa.data.scored.ratings.means import Asked, Rated, averaged, no_numbers
from iqa.data.scored.ratings.places import rater_place, rating_place, rating_places
from iqa.data.scored.ratings.rated import Ratings, rated_by
from iqa.data.scored.rawset import RawSet
from iqa.errors import UserError


def raw_from_ratings(data: DataConfig) -> RawSet:
    """The set that `data.csv` describes, with several ratings a picture.

    Raises:
        UserError: a file, folder or column that is not there, or ratings that are none; naming the setting to mend.
    """
    found, image_root = open_own(data)
    units = [f"{found.unit} {line}" for line in found.lines] or [f"row {row + 1}" for row in range(len(found.frame))]
    read = read_ratings(found.frame, data, found.where, units)
    lines = [found.lines[row] for row in read.rows] if found.lines else []
    said = f"{found.path.name}: {found.said}; {read.said}"
    return RawSet(read.table, image_root, read.scale, (found.path,), said, lines, found.unit, read.ratings)


def read_ratings(frame: pd.DataFrame, data: DataConfig, where: object, units: Sequence[str]) -> Rated:
    """A row for each picture out of a table with several ratings of it, as `data.ratings` says that it holds them.

    Args:
        frame: cells of any type.
        where: what the table is called in messages.
        units: what each row is called in messages.

    Raises:
        UserError: a column cannot be told; a cell is no rating and `data.on_error` is "fail"; no rater can be judged
            and `data.screen_raters` is true.
    """
    read = {"long": read_long, "wide": read_wide, "counts": read_counts}[data.ratings or "long"]
    return read(Asked(frame, data, where, units))


def read_long(asked: Asked) -> Rated:
    """A row for each rating; what it says of its picture must be the same in all rows of the picture."""
    who = rater_place(asked.frame, asked.data, asked.where)
    what = None if asked.data.columns.score is None else rating_place(asked.frame, asked.data, asked.where, [who])
    places = asked.about([place for place in (who, what) if place is not None])
    if what is None:
        what = rating_place(asked.frame, asked.data, asked.where, [who, *places.values()])
    table = asked.table(places)
    picture, rows = _numbered(table["image"].tolist())
    _refuse_different(asked, table, picture, rows)
    cells = asked.frame.iloc[:, what]
    values, faults = numbers(cells), Faults()
    missing = add_no_numbers(faults, text(cells), values, lambda row: asked.units[row])
    if not np.isfinite(values).any():
        raise no_numbers(asked.label(what), asked.where)
    scale = score_scale(pd.Series(values), asked.data)
    kept = on_scale(faults, values, scale, lambda row: asked.units[row])
    said = [asked.taken_for(places), f"ratings in '{asked.label(what)}'"]
    ratings = Ratings(len(rows), picture[kept], values[kept], np.empty(0, dtype=np.int64))
    again = 0
    if who is not None:
        said.append(f"raters in '{asked.label(who)}'")
        raters = np.array(text(asked.frame.iloc[:, who]), dtype=object)[kept]
        _refuse_nameless(asked, raters, who)
        ratings, again = rated_by(len(rows), picture[kept], values[kept], list(raters))
    said += [f"empty ratings left out: {missing}"] if missing else []
    said += [f"ratings of a picture that its rater had rated before: {again}, their means count"] if again else []
    said += faults.settle(asked.data.on_error, asked.where)
    return averaged(asked, table.iloc[rows].reset_index(drop=True), ratings, scale, rows, said)


def read_wide(asked: Asked) -> Rated:
    """A row for each picture and a column for each rater, who need not have rated all."""
    columns = rating_places(asked.frame, asked.data, asked.where)
    places, names = asked.about(columns), [asked.label(column) for column in columns]
    values, faults, missing = np.empty((len(asked.frame), len(columns))), Faults(), 0

    def cell(number: int) -> str:
        row, place = divmod(number, len(columns))
        return f"'{names[place]}', {asked.units[row]}"

    cells = np.empty(values.shape, dtype=object)
    for place, column in enumerate(columns):
        values[:, place] = numbers(asked.frame.iloc[:, column])
        cells[:, place] = text(asked.frame.iloc[:, column])
    missing = add_no_numbers(faults, list(cells.ravel()), values.ravel(), cell)
    if not np.isfinite(values).any():
        raise no_numbers(names[0], asked.where)
    scale = score_scale(pd.Series(values.ravel()), asked.data)
    kept = on_scale(faults, values.ravel(), scale, cell)
    picture, rater = np.repeat(np.arange(len(values)), len(columns)), np.tile(np.arange(len(columns)), len(values))
    known, number = np.unique(rater[kept], return_inverse=True)
    raters = tuple(names[place] for place in known)
    ratings = Ratings(len(values), picture[kept], values.ravel()[kept], number.astype(np.int64), raters)
    said = [asked.taken_for(places), f"ratings in {len(columns)} columns, '{names[0]}' to '{names[-1]}'"]
    said += [f"empty cells: {missing}"] if missing else []
    said += faults.settle(asked.data.on_error, asked.where)
    return averaged(asked, asked.table(places), ratings, scale, list(range(len(values))), said)


def _numbered(names: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """A number for each name, in the order in which they are first seen, and the rows where they are."""
    numbers_of: dict[str, int] = {}
    rows: list[int] = []
    for row, name in enumerate(names):
        if name not in numbers_of:
            numbers_of[name] = len(rows)
            rows.append(row)
    return np.array([numbers_of[name] for name in names], dtype=np.int64), rows


def _refuse_different(asked: Asked, table: pd.DataFrame, picture: np.ndarray, rows: list[int]) -> None:
    """A picture has one group, one split and one subset, in whatever row."""
    first = np.array(rows)[picture]
    for role in ("group", "split", "subset"):
        cells = table[role].to_numpy()
        different = np.flatnonzero(cells != cells[first])
        if len(different):
            row = int(different[0])
            at = int(first[row])
            raise UserError(
                f"{asked.where} gives a picture several values of '{role}'",
                got=f"{shown(table['image'].iloc[row])}: '{shown(cells[at])}' in {asked.units[at]}, "
                f"'{shown(cells[row])}' in {asked.units[row]}",
                expected="the same in all rows of a picture",
                fix=f"mend them, or set data.columns.{role} to '' to do without that column",
            )


def _refuse_nameless(asked: Asked, raters: np.ndarray, place: int) -> None:
    """Ratings of nobody among those of raters with names."""
    nameless = int((raters == "").sum())
    if nameless:
        raise UserError(
            f"{nameless} rating{'s' * (nameless != 1)} of {asked.where} without a rater",
            expected=f"a name in each row of '{asked.label(place)}'",
            fix="complete that column, or set data.columns.rater to '' to do without raters",
        )
