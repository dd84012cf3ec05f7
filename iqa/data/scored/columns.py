"""Which column of a table holds what: as the settings say, else by usual names, else by content."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS, ScoreScale
from iqa.data.scored.cells import MOST, columns_shown, is_number, is_picture, share, shown, text_of
from iqa.data.scored.locate import check_root
from iqa.data.scored.rawset import RAW_COLUMNS, RawSet
from iqa.data.scored.tables import Table, open_table
from iqa.errors import UserError, nearest

log = logging.getLogger(__name__)

#: Usual names in order of preference, in lower case and without spaces, dots, dashes and underscores.
USUAL = {
    "image": ("image", "imagename", "imgname", "distname", "filename", "imagepath", "path", "imageid", "img", "name",
              "file"),
    "score": ("mos", "dmos", "score", "quality", "qualityscore", "meanopinionscore", "moscore", "rating"),
    "group": ("group", "content", "contentid", "refname", "reference", "ref", "refimage", "refimg", "hqname", "scene",
              "sceneid"),
    "split": ("split", "set", "partition"),
    "subset": ("subset",),
}  # fmt: skip
SYNONYMS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
ROLES = {"image": "pictures", "score": "scores", "group": "groups", "split": "splits", "subset": "subsets"}


def raw_from_table(data: DataConfig) -> RawSet:
    """The set that `data.csv` describes, with one score a picture.

    Raises:
        UserError: a file, folder or column that is not there; naming the setting to mend.
    """
    found, image_root = open_own(data)
    table, said = raw_table(found.frame, data, found.where)
    scale, said = score_scale(table["score"], data), f"{found.path.name}: {found.said}; {said}"
    return RawSet(table, image_root, scale, (found.path,), said, found.lines, found.unit)


def open_own(data: DataConfig) -> tuple[Table, Path]:
    """The table `data.csv`, and the folder of its pictures: `data.image_root`, else its own.

    Where `data.root` is given, these two places are relative to it.

    Raises:
        UserError: a file or folder that is not there; naming the setting to mend.
    """
    path = beside_root(data, data.csv or "")
    if not path.is_file():
        raise UserError("data.csv is no file", got=path, expected="a table of pictures and scores")
    image_root = path.parent if data.image_root is None else beside_root(data, data.image_root)
    check_root(image_root, "data.image_root", "the folder that the picture names in data.csv are relative to")
    return open_table(path, data.header), image_root


def raw_table(frame: pd.DataFrame, data: DataConfig, where: object) -> tuple[pd.DataFrame, str]:
    """The columns of a scored set (`rawset.RAW_COLUMNS`) out of any table with a picture and a score in each row.

    Args:
        frame: cells of any type; columns labelled 0, 1, 2, ... where the table has no header.
        data: `columns` names the columns, by name (case does not matter) or by number from 0. One that is null
            is looked for by its usual names, and "" says that there is none. Without a header, and under other names,
            the picture and the score are told by content.
        where: what the table is called in messages.

    Returns:
        The table, and what was taken for what, in words.

    Raises:
        UserError: a column that is not there or cannot be told; splits that are no known words.
    """
    places = find_columns(frame, data, where)
    scores = frame.iloc[:, places["score"]]
    table = pd.DataFrame(index=range(len(frame)), columns=list(RAW_COLUMNS), dtype=object)
    for role in ("image", "group", "split", "subset"):
        place = places[role]
        table[role] = "" if place is None else np.array(text(frame.iloc[:, place]), dtype=object)
    table["split"] = np.array(words_of_splits(list(table["split"]), where), dtype=object)
    table["score"] = numbers(scores)
    table["kind"], table["level"] = "", 0
    if table["score"].isna().all():
        first = [cell for cell in text(scores) if cell][:3]
        raise UserError(
            f"column '{shown(scores.name)}' of {where} holds no numbers",
            got=", ".join(repr(shown(cell)) for cell in first) or "empty cells",
            expected="scores, as numbers such as 3.5",
            fix="set data.columns.score to the column that holds the scores",
        )
    if "dmos" in plain(scores.name) and "score_direction" not in data.model_fields_set:
        log.warning(
            "column '%s' of %s is taken as 'higher is better'; if low values mean good pictures there, set "
            "data.score_direction to lower_is_better",
            scores.name,
            where,
        )
    taken = {role: place for role, place in places.items() if place is not None}
    said = [f"{ROLES[role]} in '{shown(frame.columns[place])}'" for role, place in taken.items()]
    return table, ", ".join(said)


def find_columns(
    frame: pd.DataFrame,
    data: DataConfig,
    where: object,
    roles: Sequence[str] = tuple(USUAL),
    taken: Collection[int] = (),
) -> dict[str, int | None]:
    """The number of the column of each role; None for a group, split or subset that the table lacks.

    Args:
        roles: those that are looked for.
        taken: columns that hold something else.

    Raises:
        UserError: a column that is not there, or a picture or score that cannot be told.
    """
    labels = list(frame.columns)
    wanted = {role: getattr(data.columns, role) for role in roles}
    places: dict[str, int | None] = {
        role: given(labels, column, role, where) for role, column in wanted.items() if column not in (None, "")
    }
    named = any(isinstance(label, str) for label in labels)
    for role in roles:
        if role in places:
            continue
        free = [place for place in range(len(labels)) if place not in places.values() and place not in taken]
        if role not in ("image", "score") and (wanted[role] == "" or not named):
            places[role] = None
        else:
            place = _usual(labels, free, role, where) if named else None
            by_content = place is None and role in ("image", "score")
            places[role] = _by_content(frame, free, role, where) if by_content else place
    return places


def picture_column(frame: pd.DataFrame, where: object, setting: str) -> int:
    """The number of the column of picture names: one that is usually called so, else the one that holds them.

    Raises:
        UserError: it cannot be told; `setting` names it.
    """
    labels = list(frame.columns)
    place = _usual(labels, range(len(labels)), "image", where, setting)
    return _by_content(frame, range(len(labels)), "image", where, setting) if place is None else place


def beside_root(data: DataConfig, path: str) -> Path:
    """A path of the settings: relative to `data.root` where there is one."""
    return Path(data.root or "").expanduser() / Path(path).expanduser()


def score_scale(scores: pd.Series, data: DataConfig) -> ScoreScale:
    """`data.score_range`, else from the least to the greatest score.

    Raises:
        UserError: there are not two different scores.
    """
    found = scores[np.isfinite(scores)]
    if found.nunique() < 2:
        raise UserError(
            "the scores do not differ",
            got=f"{len(scores)} rows, {len(found)} of them with a number, {found.nunique()} different ones",
            expected="a column of scores, at least two of them different",
            fix="set data.columns.score to the column that holds the scores",
        )
    low, high = data.score_range or (float(found.min()), float(found.max()))
    return ScoreScale(low, high, data.score_direction == "higher_is_better")


def text(cells: pd.Series) -> list[str]:
    """Cells as text without spaces around it: "" for none, "12" for the number 12.0."""
    return [text_of(cell) for cell in cells]


def numbers(cells: pd.Series) -> np.ndarray:
    """Cells as float64; NaN for what is no finite number."""
    if not pd.api.types.is_numeric_dtype(cells):
        cells = pd.to_numeric(pd.Series(text(cells), dtype=object), errors="coerce")
    found = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def plain(name: object) -> str:
    """A column's name as usual names are compared: in lower case, without spaces, dots, dashes and underscores."""
    return re.sub(r"[\s._-]+", "", str(name)).casefold()


def given(labels: Sequence[object], column: str | int, role: str, where: object) -> int:
    """The place of a column that the settings name.

    Raises:
        UserError: it is not there.
    """
    if isinstance(column, int):
        if column < len(labels):
            return column
        raise _unknown(labels, f"column number {column}", role, where, f"a number from 0 to {len(labels) - 1}")
    if column in labels:
        return labels.index(column)
    same = [place for place, label in enumerate(labels) if str(label).casefold() == column.strip().casefold()]
    if len(same) == 1 and isinstance(labels[same[0]], str):
        return same[0]
    if not any(isinstance(label, str) for label in labels):
        raise _unknown(labels, f"'{column}'", role, where, "the column's number from 0: this table has no header")
    raise _unknown(labels, f"'{column}'", role, where, nearest(column, map(str, labels)) or "one of its columns")


def _usual(
    labels: Sequence[object], free: Sequence[int], role: str, where: object, setting: str | None = None
) -> int | None:
    names = {place: plain(labels[place]) for place in free if isinstance(labels[place], str)}
    found = [place for name in USUAL[role] for place in names if names[place] == name]
    again = [place for place in names if found and _repeats(labels, place) == names[found[0]]]
    if (role == "score" and len(found) > 1) or again:
        # Which one is meant is not ours to guess: scores may run in opposite directions.
        raise _untold([labels[place] for place in (*found, *again)], labels, role, where, setting)
    return found[0] if found else None


def _repeats(labels: Sequence[object], place: int) -> str | None:
    """The name that a column has in common with an earlier one, if its label is that with a number."""
    base, dot, number = str(labels[place]).rpartition(".")
    return plain(base) if dot and number.isdecimal() and base in labels else None


def _by_content(frame: pd.DataFrame, free: Sequence[int], role: str, where: object, setting: str | None = None) -> int:
    """The one column of picture names, or of numbers; in a table of two columns each tells the other."""
    columns = {place: frame.iloc[:, place] for place in free}
    kinds = {place: (share(cells, is_picture), share(cells, is_number)) for place, cells in columns.items()}
    pictures = [place for place, (picture, _) in kinds.items() if picture > 0.5]
    if role == "score":
        found = [place for place, (_, number) in kinds.items() if number > MOST]
    else:
        # Names without an extension: whatever is no number.
        texts = [place for place, (_, number) in kinds.items() if number <= MOST]
        found = pictures or [place for place in texts if any(text_of(cell) for cell in columns[place])]
    if len(found) != 1:
        raise _untold([frame.columns[place] for place in found], list(frame.columns), role, where, setting)
    return found[0]


def words_of_splits(values: Sequence[str], where: object) -> list[str]:
    """The split that each word means.

    Raises:
        UserError: words that mean none.
    """
    found = [SYNONYMS.get(value.casefold(), value) for value in values]
    strange = sorted(set(found) - {"", *SPLITS})
    if strange:
        raise UserError(
            f"the splits of {where} are no known words",
            got=", ".join(repr(shown(value)) for value in strange[:10]),
            expected=f"{', '.join(SYNONYMS)}; numbers mean different splits to different authors",
            fix="write words into that column, name another one in data.columns.split, or set it to '' to draw the "
            "split by data.split_shares",
        )
    return found


def _unknown(labels: Sequence[object], got: str, role: str, where: object, expected: str) -> UserError:
    return UserError(
        f"data.columns.{role}: no such column in {where}",
        got=got,
        expected=expected,
        fix=f"its columns are: {columns_shown(labels)}",
    )


def _untold(
    found: Sequence[object], labels: Sequence[object], role: str, where: object, setting: str | None
) -> UserError:
    headless = not any(isinstance(label, str) for label in labels)
    several = "; if each of them is a rater's, set data.ratings to wide" if role == "score" and len(found) > 2 else ""
    return UserError(
        f"the column of the {role} cannot be told in {where}",
        got=f"columns that may be it: {columns_shown(found)}" if found else "no column that looks like it",
        expected=f"one of its columns: {columns_shown(labels)}",
        fix=f"set {setting or f'data.columns.{role}'}"
        + ("" if setting else "; if its first row names the columns, set data.header to true" if headless else several),
    )
