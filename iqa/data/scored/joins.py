"""Joining rows of a table to picture files, and one report of everything in it that cannot be used."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from iqa.data.scored.locate import MISSING, NO_NAME, NotFound, PictureIndex
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
TOLERANCE = 1e-9


@dataclass
class JoinReport:
    """What became of the rows of a table.

    Attributes:
        rows: in the table.
        duplicates: rows that repeat another one exactly; they are left out, and harmless.
        counts: rows that cannot be used, by reason.
        names: the first `FIRST` of them by reason.
        hint: what may mend them, or "".
    """

    rows: int
    duplicates: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)
    hint: str = ""

    @property
    def faults(self) -> int:
        """Rows that cannot be used."""
        return sum(self.counts.values())

    @property
    def used(self) -> int:
        """Rows that can be used and repeat no other."""
        return self.rows - self.duplicates - self.faults

    def add(self, reason: str, names: Iterable[str]) -> None:
        """Count rows that cannot be used; each name stands for one."""
        names = list(names)
        if names:
            self.counts[reason] += len(names)
            known = self.names.setdefault(reason, [])
            known += names[: FIRST - len(known)]

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
            f"{self.faults} rows of the table cannot be used" + ("" if self.used else ", and no others are left"),
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
        for reason, count in self.counts.items():
            more = ", ..." if count > len(self.names[reason]) else ""
            lines.append(f"    {count} x {reason}: {', '.join(self.names[reason])}{more}")
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
    report = JoinReport(len(table))
    written = table["image"].tolist()
    reasons = np.full(len(table), "", dtype=object)
    if on_disk:
        _locate(table, reasons, PictureIndex(raw.image_root), raw, report)
    else:
        reasons[(table["image"] == "").to_numpy()] = NO_NAME
    scores = table["score"].to_numpy(dtype=np.float64)
    shown = [name or f"row {row + 1}" for row, name in enumerate(written)]
    _mark(reasons, np.isnan(scores), NO_SCORE)
    beyond = (scores < raw.scale.low - TOLERANCE) | (scores > raw.scale.high + TOLERANCE)
    _mark(reasons, beyond, OUT_OF_RANGE)
    usable = table[reasons == ""]
    repeated = usable.index[usable.duplicated()]
    report.duplicates = len(repeated)
    usable = usable.drop(repeated)
    reasons[usable.index[usable.duplicated("image", keep=False)]] = CONFLICTING
    for reason in dict.fromkeys(reasons[reasons != ""]):
        rows = np.flatnonzero(reasons == reason)
        with_score = reason in (OUT_OF_RANGE, CONFLICTING)
        report.add(reason, [f"{shown[row]} ({scores[row]:g})" if with_score else shown[row] for row in rows])
    report.settle(on_error)
    return usable[reasons[usable.index] == ""].reset_index(drop=True), report


def _locate(table: pd.DataFrame, reasons: np.ndarray, index: PictureIndex, raw: RawSet, report: JoinReport) -> None:
    """Put the files into `table`, and into `reasons` why there is none."""
    names = table["image"].tolist()
    for row, name in enumerate(names):
        try:
            names[row] = index.find(name)
        except NotFound as error:
            reasons[row] = error.reason
            if error.reason == MISSING and not report.hint and (folder := index.elsewhere(name)) is not None:
                report.hint = f"a file named like {name} is in {raw.image_root / folder}, is that data.image_root?"
    table["image"] = pd.Series(names, dtype=object)


def _mark(reasons: np.ndarray, wrong: np.ndarray, reason: str) -> None:
    """Give rows a reason unless they have one."""
    reasons[wrong & (reasons == "")] = reason
