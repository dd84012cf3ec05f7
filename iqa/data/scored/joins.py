"""Joining rows of a table to picture files, and one report of everything in it that cannot be used."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from iqa.data.scored.cells import shown
from iqa.data.scored.locate import NO_NAME, locate
from iqa.data.scored.rawset import RAW_COLUMNS, RawSet
from iqa.errors import UserError

log = logging.getLogger(__name__)

#: Why a row cannot be used, besides the reasons in `iqa.data.scored.locate`.
NO_SCORE = "score is no number"
OUT_OF_RANGE = "score beyond the scale"
CONFLICTING = "one picture, different rows"
#: For whoever decodes the pictures.
UNREADABLE = "unreadable"
#: How many names a report gives for each reason.
FIRST = 10
#: So many characters of them a message shows, all reasons together.
MOST_SHOWN = 1000
TOLERANCE = 1e-9
#: From so many pictures on that are in several rows, most of all, a table has a row for each rating.
SEVERAL = 3


@dataclass
class JoinReport:
    """What became of the rows of a table.

    Attributes:
        rows: in the table.
        duplicates: rows that repeat another one exactly; they are left out, and harmless.
        counts: rows that cannot be used, by reason.
        names: the first `FIRST` of them by reason.
        hint: what may mend them, or "".
        where: the table, for messages; or "".
        said: what was done to find the pictures, in words; or "".
        places: where the named ones are in the table, such as "line 7"; or "".
        taken: numbers of the rows that are used, in order.
    """

    rows: int
    duplicates: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)
    hint: str = ""
    where: str = ""
    said: str = ""
    places: dict[str, list[str]] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Rows that cannot be used."""
        return sum(self.counts.values())

    @property
    def used(self) -> int:
        """Rows that can be used and repeat no other."""
        return self.rows - self.duplicates - self.faults

    def add(self, reason: str, names: Iterable[str], places: Iterable[str] = ()) -> None:
        """Count rows that cannot be used; each name stands for one, and so does each place if any are known."""
        names = list(names)
        if names:
            self.counts[reason] += len(names)
            known = self.names.setdefault(reason, [])
            room = FIRST - len(known)
            self.places.setdefault(reason, []).extend((list(places) or [""] * len(names))[:room])
            known += names[:room]

    def settle(self, on_error: Literal["fail", "skip"]) -> None:
        """End with the faults counted so far, or log them as one warning.

        Raises:
            UserError: there are faults and `on_error` is "fail", or nothing is left to use. It holds the report.
        """
        if self.used and not self.faults:
            return
        if self.used and on_error == "skip":
            log.warning("%s", self)
            return
        fix = "mend the table or the files" + (", or set data.on_error to skip" if self.used else "")
        raise UserError(
            f"{self.faults} rows of the table{f' {self.where}' * bool(self.where)} cannot be used"
            + ("" if self.used else ", and no others are left"),
            got=self,
            expected="a picture file and a score on the scale in each row",
            fix=f"{self.hint}; {fix}" if self.hint else fix,
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as values that JSON knows."""
        faults = {reason: {"count": count, "first": self.names[reason]} for reason, count in self.counts.items()}
        return {"rows": self.rows, "used": self.used, "duplicates": self.duplicates, "faults": faults}

    def __str__(self) -> str:
        lines = [f"{self.rows} rows: {self.used} used, {self.duplicates} repeated, {self.faults} that cannot be used"]
        room = MOST_SHOWN // max(1, len(self.counts))
        for reason, count in self.counts.items():
            places = zip(self.names[reason], self.places[reason], strict=True)
            names = [f"{name} in {place}" if place else name for name, place in places]
            while len(names) > 1 and sum(len(name) + 2 for name in names) > room:
                names = names[:-1]
            lines.append(f"    {count} x {reason}: {', '.join(names)}{', ...' * (count > len(names))}")
        return "\n".join(lines)


def join(raw: RawSet, on_error: Literal["fail", "skip"], *, on_disk: bool = True) -> tuple[pd.DataFrame, JoinReport]:
    """The rows that can be used, their pictures found below `raw.image_root`, and what became of the others.

    No picture is opened. Rows that are exactly alike become one; rows of one picture that differ are faults,
    all of them, because nothing says which is right.

    Args:
        raw: the set as its table tells it.
        on_error: "fail": any fault is an error; "skip": such rows are left out, with a warning.
        on_disk: False for pictures that are no files: each name is then taken to exist.

    Returns:
        Columns RAW_COLUMNS with `image` relative to the root, with / between folders, spelled as on disk, each
        picture once, in the order of the table; and the report.

    Raises:
        UserError: there are faults and `on_error` is "fail", or nothing is left.
    """
    table = raw.table[list(RAW_COLUMNS)].reset_index(drop=True)
    report = JoinReport(len(table), where=", ".join(path.name for path in raw.files))
    written = table["image"].tolist()
    reasons = np.full(len(table), "", dtype=object)
    if on_disk:
        _locate(table, reasons, raw, report)
    else:
        reasons[(table["image"] == "").to_numpy()] = NO_NAME
    scores = table["score"].to_numpy(dtype=np.float64)
    _mark(reasons, np.isnan(scores), NO_SCORE)
    beyond = (scores < raw.scale.low - TOLERANCE) | (scores > raw.scale.high + TOLERANCE)
    _mark(reasons, beyond, OUT_OF_RANGE)
    usable = table[reasons == ""]
    repeated = usable.index[usable.duplicated()]
    report.duplicates = len(repeated)
    _refuse_several_ratings(usable, written, raw)
    usable = usable.drop(repeated)
    reasons[usable.index[usable.duplicated("image", keep=False)]] = CONFLICTING
    for reason in dict.fromkeys(reasons[reasons != ""]):
        rows = np.flatnonzero(reasons == reason)
        with_score = reason in (OUT_OF_RANGE, CONFLICTING)
        told = [_told(row, written, raw, with_score=with_score) for row in rows.tolist()]
        report.add(reason, (name for name, _ in told), (place for _, place in told))
    if CONFLICTING in report.counts and not report.hint:
        report.hint = "if each of these rows is one person's rating, set data.ratings to long"
    report.settle(on_error)
    usable = usable[reasons[usable.index] == ""]
    report.taken = usable.index.tolist()
    return usable.reset_index(drop=True), report


def _locate(table: pd.DataFrame, reasons: np.ndarray, raw: RawSet, report: JoinReport) -> None:
    """Put the files into `table`, and into `reasons` why there is none."""
    names = table["image"].tolist()
    found = locate(names, raw.image_root, "data.image_root")
    report.hint = found.hint
    report.said = found.said
    for row, name in enumerate(names):
        if name in found.faults:
            reasons[row] = found.faults[name]
        else:
            names[row] = found.files[name]
    table["image"] = pd.Series(names, dtype=object)


def _refuse_several_ratings(usable: pd.DataFrame, written: list[str], raw: RawSet) -> None:
    """A table with a row for each rating: to leave out rows that differ would keep what raters agree on."""
    rows = usable.groupby("image")["score"].agg(["size", "nunique"])
    several = int((rows["size"] > 1).sum())
    if several < SEVERAL or 2 * several <= len(rows) or rows["nunique"].max() < 2:
        return
    differ = rows.index[rows["nunique"] > 1][0]
    rows_of_it = usable.index[usable["image"] == differ][:3]
    first = [" in ".join(filter(None, _told(row, written, raw, with_score=True))) for row in rows_of_it]
    raise UserError(
        "the table" + "".join(f" {path.name}" for path in raw.files) + " has several ratings a picture",
        got=f"{several} of {len(rows)} pictures in several rows, such as {', '.join(first)}",
        expected="one row for each picture, with the mean of its ratings",
        fix="set data.ratings to long: a picture's score is then the mean of its rows; data.columns.rater names the "
        "column of the raters",
    )


def _told(row: int, written: list[str], raw: RawSet, *, with_score: bool) -> tuple[str, str]:
    """A row for messages: its picture, with its score, and its place in the file."""
    name, place = shown(written[row]), f"{raw.unit} {raw.lines[row]}" if len(raw.lines) else ""
    score = f" ({raw.table['score'].iloc[row]:g})" if with_score else ""
    return (name + score, place) if name else ((place or f"row {row + 1}") + score, "")


def _mark(reasons: np.ndarray, wrong: np.ndarray, reason: str) -> None:
    """Give rows a reason unless they have one."""
    reasons[wrong & (reasons == "")] = reason
