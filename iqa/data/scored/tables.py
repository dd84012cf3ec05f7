"""Tables of scores as people keep them: CSV, TSV, text columns, parquet or xlsx, with or without a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError

#: A number as tables write it. `float` would also take "1_000" and "infinity", which may be names.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan", re.IGNORECASE)
#: Tried in this order: a semicolon before the comma, because tables that need it write 3,5 for a number.
DELIMITERS = ("\t", ";", ",")
SAMPLE_LINES = 200
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_PICTURE = "|".join(re.escape(suffix) for suffix in SUFFIXES)
#: A name with spaces in it and one number, in either order, on a line whose columns are parted by spaces.
_NAME_WITH_SPACES = re.compile(
    rf"(?:(?P<before>{NUMBER.pattern})\s+)?(?P<name>(?:(?!(?:{_PICTURE})\s).)+(?:{_PICTURE}))"
    rf"(?:\s+(?P<after>{NUMBER.pattern}))?",
    re.IGNORECASE,
)


def read_table(path: Path, header: bool | None = None) -> pd.DataFrame:
    """A table as it stands: text cells from a text file ("" where empty), typed cells from parquet and xlsx.

    Rows may differ in length; short ones are filled with "". Columns at the end that have neither a name nor a
    value are dropped. A name that occurs again gets ".1", ".2"; a column without one is "Unnamed: <number>".

    Args:
        path: .parquet, .xlsx (its first sheet), or text in UTF-8, with columns parted by tab, semicolon, comma
            or white space, which is seen from the content.
        header: whether the first row names the columns; None: it does unless it holds a number or a picture's
            name. Without a header the columns are labelled 0, 1, 2, ... Parquet always has one.

    Raises:
        UserError: the file is missing, broken, empty or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("the table of scores is no file", got=path, expected="a CSV, TSV, parquet or xlsx file")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path)
    rows = _read_sheet(path) if suffix in (".xlsx", ".xlsm") else _read_text(path)
    rows = [row for row in rows if any(cell != "" for cell in row)]
    if header is None:
        header = bool(rows) and not any(_is_value(cell) for cell in rows[0])
    names = [str(cell) for cell in rows.pop(0)] if header and rows else []
    if not rows:
        raise UserError(f"the table {path} has no rows", expected="one row for each picture")
    width = max(len(row) for row in rows)
    while width and not any(row[width - 1] != "" for row in rows if len(row) >= width):
        width -= 1
    while names and not names[-1]:
        names.pop()
    width = max(width, len(names))
    cells = [[*row[:width], *[""] * (width - len(row))] for row in rows]
    labels = _labels(names, width) if header else list(range(width))
    return pd.DataFrame(cells, columns=labels, dtype=object)


def is_number(cell: object) -> bool:
    """Whether a cell holds a number, as text or as such."""
    if isinstance(cell, str):
        return NUMBER.fullmatch(cell.strip()) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def is_picture(cell: object) -> bool:
    """Whether a cell names a picture file."""
    return isinstance(cell, str) and cell.lower().endswith(SUFFIXES)


def _is_value(cell: object) -> bool:
    return is_number(cell) or is_picture(cell)


def _labels(names: Sequence[str], width: int) -> list[str]:
    """A label of its own for each column, made as pandas makes them."""
    given = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    given += [f"Unnamed: {place}" for place in range(len(names), width)]
    uses: Counter[str] = Counter()
    taken, labels = set(given), []
    for name in given:
        label, use = name, uses[name]
        while use and (label := f"{name}.{use}") in taken:
            use += 1
        uses[name] = use + 1
        taken.add(label)
        labels.append(label)
    return labels


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        # Which one of a dozen unrelated types it is depends on where the file is damaged.
        raise UserError(f"{path} cannot be read as parquet", got=f"{type(error).__name__}: {error}") from error
    if not len(frame):
        raise UserError(f"the table {path} has no rows", expected="one row for each picture")
    if not isinstance(frame.index, pd.RangeIndex):
        # A column may have been made the index before the table was saved.
        frame = frame.reset_index()
    return frame.set_axis(_labels([str(name) for name in frame.columns], frame.shape[1]), axis=1)


def _read_sheet(path: Path) -> list[list[object]]:
    try:
        frame = pd.read_excel(path, header=None, dtype=object, na_filter=False, engine="openpyxl")
    except ImportError as error:
        raise UserError("xlsx tables need the package openpyxl", fix="pip install openpyxl") from error
    except Exception as error:
        # A damaged workbook surfaces as an error of zipfile, xml, or a missing key.
        raise UserError(f"{path} cannot be read as xlsx", got=f"{type(error).__name__}: {error}") from error
    return [[cell.strip() if isinstance(cell, str) else cell for cell in row] for row in frame.to_numpy().tolist()]


def _read_text(path: Path) -> list[list[object]]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no table in UTF-8", got=error, fix="save it as CSV in UTF-8, or as xlsx") from error
    if "\0" in text:
        raise UserError(f"{path} is no text", expected="a CSV, TSV, parquet or xlsx file", fix="save it as one of them")
    delimiter = _delimiter(text)
    if delimiter is None:
        return _split_at_spaces(text)
    try:
        rows = [[cell.strip() for cell in row] for row in _rows(text, delimiter, strict=True)]
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a table", got=error, expected="pairs of quotes") from error
    if delimiter == ";":
        rows = [[_DECIMAL_COMMA.sub(r"\1.\2", cell) if _is_decimal(cell) else cell for cell in row] for row in rows]
    return [list(row) for row in rows]


def _is_decimal(cell: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(cell) is not None


def _rows(text: str, delimiter: str, *, strict: bool) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=strict)


def _delimiter(text: str) -> str | None:
    """The delimiter that parts most rows and most often leaves a number or a name; None where white space parts."""
    best, most = None, (0, 0)
    for delimiter in DELIMITERS:
        sample = [row for row in islice(_rows(text, delimiter, strict=False), SAMPLE_LINES) if row]
        parted = [row for row in sample if len(row) > 1]
        found = (sum(any(map(_is_value, row)) for row in parted), len(parted))
        if 2 * len(parted) >= len(sample) and found > most:
            best, most = delimiter, found
    return best


def _split_at_spaces(text: str) -> list[list[object]]:
    """Columns parted by white space; where that gives rows of different length, names hold spaces themselves."""
    lines = [line.strip() for line in io.StringIO(text, newline=None) if line.strip()]
    rows: list[list[object]] = [list(line.split()) for line in lines]
    if len({len(row) for row in rows}) > 1:
        for place, line in enumerate(lines):
            match = _NAME_WITH_SPACES.fullmatch(line)
            if match and (match["before"] is None) != (match["after"] is None):
                cells = (match["before"], match["name"], match["after"])
                rows[place] = [cell for cell in cells if cell is not None]
    return rows
