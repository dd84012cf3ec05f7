"""Tables of scores as people keep them: CSV, TSV, text, parquet, JSON records or xlsx, with or without a header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path

import pandas as pd

from iqa.data.scored.cells import (
    DECIMAL_COMMA,
    MOST,
    NOTHING,
    THOUSANDS,
    Sheet,
    columns_shown,
    is_decimal,
    is_number,
    is_picture,
    share,
    shown,
    text_of,
)
from iqa.data.scored.strangers import refuse_stranger
from iqa.data.scored.text import read_text
from iqa.data.scored.typed import read_records, read_workbook
from iqa.errors import UserError

#: How names of tables end; what is in them is seen from their bytes.
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".xlsm", ".json", ".jsonl")

#: So many rows tell what columns hold.
SAMPLE = 2000


@dataclass(frozen=True)
class Table:
    """A table, and how it was read.

    Attributes:
        path: its file.
        frame: text cells from a text file ("" where empty), typed cells from parquet and xlsx.
        lines: where in its file each row is, from 1; empty for parquet.
        unit: what these numbers count: "line" or "row".
        said: what was taken for what, in words.
        place: the part of the file that was read, or "".
    """

    path: Path
    frame: pd.DataFrame
    lines: list[int] = field(default_factory=list)
    unit: str = "row"
    said: str = ""
    place: str = ""

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{self.path} ({self.place})" if self.place else str(self.path)


def read_table(path: Path, header: bool | None = None) -> pd.DataFrame:
    """The cells of `open_table`."""
    return open_table(path, header).frame


def open_table(path: Path, header: bool | None = None) -> Table:
    """A table as it stands, without a guess at what its columns mean.

    Empty cells at the end of rows do not count; columns there that have neither a name nor a value are dropped. A
    name that occurs again gets ".1", ".2"; a column without one is "Unnamed: <number>". Columns of numbers with
    decimal commas become such with points.

    Args:
        path: parquet, JSON, xlsx (its first sheet that is not empty), or text in UTF-8, with columns parted by tab,
            semicolon, comma, pipe, white space, equals sign or colon; all of it is seen from the content.
        header: whether the first row names the columns; None: seen from its cells and those below. Without a header
            the columns are labelled 0, 1, 2, ... Parquet and JSON always have one.

    Raises:
        UserError: the file is missing, broken, empty or of another kind; rows differ in length; quotes do not pair;
            something stands above the header, or a second table below.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("the table of scores is no file", got=path, expected="a CSV, TSV, parquet or xlsx file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read", got=error.strerror) from error
    refuse_stranger(path, data)
    if (records := read_records(path, data)) is not None:
        frame, kind = records
        frame = frame.set_axis(_labels([str(name) for name in frame.columns], frame.shape[1]), axis=1)
        return Table(path, frame, said=", ".join([kind, f"{len(frame)} rows", *_decimal_points(frame)]))
    is_workbook = data.startswith(b"PK\x03\x04") or path.suffix.lower() in (".xlsx", ".xlsm")
    sheet = read_workbook(path, data) if is_workbook else read_text(path, data)
    return _table(path, sheet, header)


def _table(path: Path, sheet: Sheet, header: bool | None) -> Table:
    where = f"{path} ({sheet.place})" if sheet.place else str(path)
    if header is None:
        header = bool(sheet.rows) and _is_header(sheet.rows)
    top = [str(cell) for cell in sheet.rows[0]] if header and sheet.rows else []
    rows, lines = (sheet.rows[1:], sheet.lines[1:]) if header else (sheet.rows, sheet.lines)
    if not rows:
        fix = "move the table to the first sheet, or save it as CSV in UTF-8" if sheet.remarks else None
        got = ", ".join(sheet.remarks) or None
        raise UserError(f"the table {where} has no rows", got=got, expected="one row for each picture", fix=fix)
    remarks = list(sheet.remarks)
    if top and _counts(rows, len(top) + 1):
        top = ["", *top]  # R names every column but that of its row numbers
        remarks.append("a column of row numbers without a name before the others")
    _refuse_above_header(where, sheet, top, rows)
    width = _width(where, sheet, top, rows, lines)
    cells = [[*row[:width], *[""] * (width - len(row))] for row in rows]
    labels = _labels(top[:width], width) if header else list(range(width))
    frame = pd.DataFrame(cells, columns=labels, dtype=object)
    remarks = _decimal_points(frame) + remarks
    named = f"header in {sheet.unit} {sheet.lines[0]}" if header else "no header"
    parts = [sheet.parted if sheet.place or width == 1 else f"{sheet.parted} between columns", named]
    said = ", ".join([*parts, f"{len(rows)} rows", *remarks])
    return Table(path, frame, lines, sheet.unit, said, sheet.place)


def _counts(rows: Sequence[Sequence[object]], width: int) -> bool:
    """Whether all rows have this width and begin with their number, counted from 0 or 1."""
    first = text_of(rows[0][0])
    return first in ("0", "1") and all(
        len(row) == width and text_of(row[0]) == str(number) for number, row in enumerate(rows, start=int(first))
    )


def _is_header(rows: Sequence[Sequence[object]]) -> bool:
    """Whether the first row names columns: its cells are unlike those below; where these tell nothing, no values."""
    first, rest = rows[0], rows[1:SAMPLE]
    names, numbers = [], []
    for place, cell in enumerate(first):
        below = [row[place] for row in rest if place < len(row)]
        if text_of(cell) == "":
            continue
        if share(below, is_picture) > MOST:
            names.append(text_of(cell))
        elif share(below, _is_value) > MOST:
            numbers.append(text_of(cell))
    if any(map(is_picture, first)) or any(re.search(r"\.\w{1,5}$", name) for name in names):
        return False
    labels = [cell for cell in numbers if not _is_value(cell) and cell.casefold() not in NOTHING]
    if any(names) and not labels:
        # A name that does not end like a picture's, then scores; or a name of a column, then numbers of columns.
        return not any(_is_value(cell) and not cell.isdecimal() for cell in numbers)
    return bool(labels) or not (numbers or any(map(_is_value, first)))


def _is_value(cell: object) -> bool:
    return is_number(cell) or is_decimal(cell) or is_picture(cell)


def _refuse_above_header(where: str, sheet: Sheet, top: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A title above the header, or a header of two rows; and a second table below an empty row."""
    first, unit = sheet.lines[0], sheet.unit
    usual = Counter(sum(text_of(cell) != "" for cell in row) for row in rows[:SAMPLE]).most_common(1)[0][0]
    if top and sum(cell != "" for cell in top) == 1 < usual:
        raise UserError(
            f"{where}: {unit} {first} is no header",
            got=f"one cell, {shown(' '.join(top))!r}, where most rows below have {usual}",
            expected="the names of the columns in the first row",
            fix="remove what stands above the header; where rows have a header of one column only, name them all",
        )
    typed: dict[int, Callable[[object], bool]] = {
        place: rule
        for place in range(max(map(len, rows)))
        for rule in (is_picture, lambda cell: is_number(cell) or is_decimal(cell))
        if share([row[place] for row in rows[:SAMPLE] if place < len(row)], rule) > 0.5
    }
    before = first
    for row, line in zip(rows, sheet.lines[-len(rows) :], strict=True):
        cells = [row[place] for place in typed if place < len(row) and text_of(row[place])]
        strange = len(cells) > 1 and all(not _is_value(cell) for cell in cells) and len(rows) > 2
        if strange and any(text_of(cell).casefold() not in NOTHING for cell in cells):
            if top and row is rows[0]:
                raise UserError(
                    f"{where}: {unit} {line} looks like the header, and {unit} {first} stands above it",
                    got=f"{columns_shown(filter(text_of, top), 4)}; then {columns_shown(filter(text_of, row), 4)}",
                    expected="the names of the columns in the first row, pictures and scores below",
                    fix="remove what stands above the header",
                )
            if line > before + 1:
                raise UserError(
                    f"{where}: a second table begins in {unit} {line}",
                    got=columns_shown(filter(text_of, row), 4),
                    expected="one table in a file",
                    fix="remove it, or keep it in a file of its own",
                )
        before = line


def _width(where: str, sheet: Sheet, top: Sequence[str], rows: Sequence[Sequence[object]], lines: Sequence[int]) -> int:
    """How many columns there are.

    Raises:
        UserError: a row is longer than the header (or, without one, than most rows), or shorter.
    """
    filled = [_filled(row) for row in rows]
    if top:
        least, most = _filled(top), len(top)
        expected = f"{least} cells, as many as {sheet.unit} {sheet.lines[0]} names: {columns_shown(top[:least], 6)}"
    else:
        least = most = max(filled)
        usual = Counter(filled).most_common(1)[0][0]
        if usual < most and min(map(len, rows)) < most:
            least = most = usual
        expected = f"{most} cells, as most rows have"
    strange = [place for place, row in enumerate(rows) if filled[place] > most or len(row) < least]
    if strange:
        row, line = rows[strange[0]], lines[strange[0]]
        more = f"; {len(strange)} of {len(rows)} rows are so" if len(strange) > 1 else ""
        raise UserError(
            f"{where}, {sheet.unit} {line}: a row is {'longer' if filled[strange[0]] > most else 'shorter'} than "
            + ("the header" if top else "the others"),
            got=f"{max(filled[strange[0]], min(len(row), least))} cells: {columns_shown(row, 8)}{more}",
            expected=expected,
            fix=_mend_row(sheet, row, longer=filled[strange[0]] > most),
        )
    if sheet.parted == "comma":
        _refuse_cut_numbers(where, top, rows)
    return max(least, *filled)


def _refuse_cut_numbers(where: str, top: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Numbers with decimal commas and without quotes: whole numbers, then what followed their comma, unnamed."""
    columns = [[text_of(cell) for cell in column] for column in zip_longest(*rows, fillvalue="")]
    for place, (left, right) in enumerate(pairwise(columns)):
        whole = all(cell.lstrip("+-").isdecimal() for cell in left) and all(map(str.isdecimal, right))
        named = place + 1 < len(top) and top[place + 1] != ""
        if whole and not named and any(len(cell) > 1 and cell.startswith("0") for cell in right):
            raise UserError(
                f"{where}: columns {place} and {place + 1} look like numbers cut at their decimal commas",
                got=f"{left[-1]},{right[-1]} in the last row",
                expected="numbers such as 3.5, or a header that names both columns",
                fix='write 3.5 or "3,5", or part the columns by semicolons',
            )


def _mend_row(sheet: Sheet, row: Sequence[object], *, longer: bool) -> str:
    whole = [str(cell).lstrip("+-").isdecimal() for cell in row]
    if longer and sheet.parted == "comma" and any(map(all, pairwise(whole))):
        return 'if 3,5 means 3.5, write it as 3.5 or "3,5", or part the columns by semicolons'
    if sheet.parted == "white space":
        return "part the columns by tabs or commas, since cells hold spaces themselves"
    return f'put cells that hold a {sheet.parted} in quotes, as "a {sheet.parted} in here", and leave no cell out'


def _filled(row: Sequence[object]) -> int:
    """The cells of a row without empty ones at its end."""
    width = len(row)
    while width and text_of(row[width - 1]) == "":
        width -= 1
    return width


def _decimal_points(frame: pd.DataFrame) -> list[str]:
    """Write numbers of columns that have decimal commas with points; says which."""
    found = []
    for place, label in enumerate(frame.columns):
        cells = list(frame.iloc[:, place])
        if not any(map(is_decimal, cells)) or any(isinstance(c, str) and THOUSANDS.fullmatch(c) for c in cells):
            continue
        if share(cells, lambda cell: is_number(cell) or is_decimal(cell)) > 0.5:
            points = [DECIMAL_COMMA.sub(r"\1.\2", cell) if is_decimal(cell) else cell for cell in cells]
            frame.isetitem(place, pd.Series(points, dtype=object))
            example = next(cell for cell in cells if is_decimal(cell))
            found.append(f"decimal commas in '{shown(label)}' ({example} is {example.replace(',', '.')})")
    return found


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
