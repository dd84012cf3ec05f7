"""What a cell of a table holds, and tables as rows of cells, before anything is taken for a column."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from iqa.data.store.pictures import SUFFIXES

#: A number as tables write it. `float` would also take "1_000" and "infinity", which may be names.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan", re.IGNORECASE)
#: A number with a decimal comma.
DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+([eE][+-]?\d+)?)")
#: One whose commas part thousands.
THOUSANDS = re.compile(r"[+-]?\d{1,3}((,\d{3}){2,}(\.\d+)?|,\d{3}\.\d+)")
#: Share of cells that must be numbers, or names of pictures, for a column to be known by its content.
MOST = 0.9
#: How people write that a score is missing.
NOTHING = ("", "na", "n/a", "nan", "null", "none", "-", "--", "?")
#: So many characters of a cell, and so many names of columns, are shown in messages.
SHOWN_CHARACTERS, SHOWN_COLUMNS = 60, 12


@dataclass
class Sheet:
    """A table as rows of cells, "" where empty.

    Attributes:
        rows: of the file, blank ones left out; they may differ in length.
        lines: where each row begins in its file, from 1.
        unit: what these numbers count: "line" or "row".
        parted: what parts the columns, in words.
        remarks: what else was decided, in words.
        place: which part of the file it is, such as a sheet; or "".
    """

    rows: list[list[object]]
    lines: list[int]
    unit: str
    parted: str
    remarks: list[str] = field(default_factory=list)
    place: str = ""


def is_number(cell: object) -> bool:
    """Whether a cell holds a number, as text or as such."""
    if isinstance(cell, str):
        return NUMBER.fullmatch(cell.strip()) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def is_decimal(cell: object) -> bool:
    """Whether a cell holds a number with a decimal comma."""
    return isinstance(cell, str) and DECIMAL_COMMA.fullmatch(cell.strip()) is not None


def is_picture(cell: object) -> bool:
    """Whether a cell names a picture file."""
    return isinstance(cell, str) and cell.lower().endswith(SUFFIXES)


def text_of(cell: object) -> str:
    """A cell as text without spaces around it: "" for none, "12" for the number 12.0."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def share(cells: Iterable[object], rule: Callable[[object], bool]) -> float:
    """How many of the cells that hold anything fit a rule, as a share."""
    filled = [cell for cell in cells if text_of(cell)]
    return sum(map(rule, filled)) / max(1, len(filled))


def shown(cell: object) -> str:
    """A cell for messages: in one line, and not long."""
    text = " ".join(str(cell).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 20]}...{text[-17:]}"


def columns_shown(labels: Iterable[object], most: int = SHOWN_COLUMNS) -> str:
    """The names of columns, for messages."""
    names: Sequence[str] = [shown(label) for label in labels]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
