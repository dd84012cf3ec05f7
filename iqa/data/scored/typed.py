"""Tables whose cells have types: parquet, JSON, and workbooks, whose first sheet that holds anything is read."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import parquet

from iqa.data.scored.cells import Sheet, shown
from iqa.errors import UserError, some
from iqa.files import in_bytes

#: Rows of a table in parquet.
MOST_ROWS = 50_000_000
#: Bytes that a workbook may unpack to; how often its size, where that is not little.
MOST_UNPACKED, MOST_PACKED, LITTLE_UNPACKED = 2**30, 100, 2**25
#: How JSON writes half a sign, the other half of which may be missing.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
#: How a list of records begins, an object of columns, and a record in each line.
_JSON = re.compile(rb"\s*(\{\s*[\"}]|\[\s*[\[{\]\"])")


def read_records(path: Path, data: bytes) -> tuple[pd.DataFrame, str] | None:
    """The columns of a parquet file, or of JSON, and what it is called; None where it is neither.

    Raises:
        UserError: it is damaged or empty, or its cells are no cells.
    """
    if data.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return read_parquet(path, data), "parquet"
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson") or _JSON.match(data.removeprefix(b"\xef\xbb\xbf")[:4096]):
        return read_json(path, data), "JSON"
    return None


def read_json(path: Path, data: bytes) -> pd.DataFrame:
    """The columns of a list of records, of an object of columns, or of a record in each line.

    Raises:
        UserError: it is damaged or empty, or holds something else.
    """
    try:
        text = data.decode("utf-8-sig")
        try:
            content = json.loads(text)
        except ValueError:
            lines = [line for line in text.splitlines() if line.strip()]
            if len(lines) < 2 or not lines[0].strip().endswith("}"):
                raise
            content = [json.loads(line) for line in lines]
        if _HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()  # half a sign is no text that can be written
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON", got=shown(error), expected="whole JSON in UTF-8") from error
    rows = [content] if isinstance(content, dict) and not any(map(_holds_cells, content.values())) else content
    columns = isinstance(rows, dict) and all(map(_holds_cells, rows.values()))
    if columns or (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        try:
            frame = pd.DataFrame(rows).astype(object)
        except ValueError as error:
            raise UserError(f"{path} has columns of different length", got=shown(error)) from error
        nested = [name for name in frame if any(map(_holds_cells, frame[name]))]
        if nested:
            raise UserError(
                f"{path} has lists or objects in its cells",
                got=f"'{shown(nested[0])}', such as {shown(frame[nested[0]].iloc[0])}",
                expected="a text or a number in each, as a table has",
                fix="write a record for each rating (data.ratings long), or a key for each rater (wide)",
            )
        if not frame.empty:
            return frame
        raise UserError(f"the table {path} has no rows", expected="one row for each picture")
    raise UserError(
        f"{path} is no table that can be read",
        got=f"JSON, {shown(text[:40])}",
        expected='a list of records, such as [{"image": "a.jpg", "mos": 3.5}], or one in each line',
    )


def _holds_cells(cell: object) -> bool:
    return isinstance(cell, list | dict)


def read_parquet(path: Path, data: bytes) -> pd.DataFrame:
    """The columns of a parquet file.

    Raises:
        UserError: it is damaged or empty, or holds pictures rather than names.
    """
    try:
        rows = parquet.read_metadata(io.BytesIO(data)).num_rows
        if rows > MOST_ROWS:
            raise ValueError(f"{rows} rows, more than {MOST_ROWS}")  # equal cells take no room in the file
        frame = pd.read_parquet(io.BytesIO(data))
    except Exception as error:
        # Which one of a dozen unrelated types it is depends on where the file is damaged.
        raise UserError(f"{path} cannot be read as parquet", got=f"{type(error).__name__}: {shown(error)}") from error
    if frame.empty:
        raise UserError(f"the table {path} has no rows", expected="one row for each picture")
    inside = [shown(label) for label, cells in frame.items() if any(map(_holds_a_file, cells.iloc[:100]))]
    if inside:
        raise UserError(
            f"{path} holds the pictures themselves",
            got=f"column '{inside[0]}'",
            expected="a column of names of picture files",
            fix=f"to train on them set data.dataset to huggingface and data.root to {path.parent}",
        )
    # A column may have been made the index before the table was saved.
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _holds_a_file(cell: object) -> bool:
    return isinstance(cell, bytes) or (isinstance(cell, dict) and "bytes" in cell)


def read_workbook(path: Path, data: bytes) -> Sheet:
    """The rows of the first visible sheet that is not empty.

    Raises:
        UserError: it cannot be read, is empty, or has formulas whose values were never stored.
    """
    _refuse_packed(path, data)
    with _opened(path, data, values=True) as workbook:
        filled = [sheet for sheet in workbook.worksheets if _is_filled(sheet)]
        if not filled:
            raise UserError(f"the table {path} has no rows", expected="one row for each picture")
        sheet = next((sheet for sheet in filled if sheet.sheet_state == "visible"), filled[0])
        grid = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    others = [repr(shown(other.title)) for other in filled if other is not sheet]
    rows = [(number, row) for number, row in enumerate(grid, start=1) if any(cell != "" for cell in row)]
    left = min(place for _, row in rows for place, cell in enumerate(row) if cell != "")
    width = max(len(row) for _, row in rows)
    _refuse_formulas(path, data, sheet.title, dict(rows))
    return Sheet(
        rows=[[*row[left:], *[""] * (width - len(row))] for _, row in rows],
        lines=[number for number, _ in rows],
        unit="row",
        parted=f"sheet {shown(sheet.title)!r}",
        remarks=[f"NOT read: {len(others)} more sheets, {some(others)}"] if others else [],
        place=f"sheet {shown(sheet.title)!r}" + (f", one of {len(filled)}" if others else ""),
    )


@contextmanager
def _opened(path: Path, data: bytes, *, values: bool) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError as error:
        raise UserError("xlsx tables need the package openpyxl", fix="pip install openpyxl") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations, which hold no cells
            workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=values)
            try:
                for sheet in workbook.worksheets:
                    sheet.reset_dimensions()  # some programs write wrong ones
                yield workbook
            finally:
                workbook.close()
    except UserError:
        raise
    except Exception as error:
        # A damaged workbook surfaces as an error of zipfile, xml, or a missing key.
        raise UserError(
            f"{path} cannot be read as xlsx",
            got=f"{type(error).__name__}: {shown(error)}",
            expected="a whole workbook",
            fix="open it in a spreadsheet program and save it again as .xlsx, or as CSV in UTF-8",
        ) from error


def _refuse_packed(path: Path, data: bytes) -> None:
    """A workbook is packed text, and can unpack to any size: one that does so beyond what tables do is not opened."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(each.file_size for each in archive.infolist())
    except Exception:  # damaged: the reader of workbooks says so
        return
    if size > MOST_UNPACKED or (size > LITTLE_UNPACKED and size > MOST_PACKED * len(data)):
        raise UserError(
            f"{path} unpacks to more than a table would",
            got=f"{in_bytes(len(data))} that unpack to {in_bytes(size)}",
            expected=f"at most {in_bytes(MOST_UNPACKED)}, and {MOST_PACKED} times its size",
            fix="save it as CSV in UTF-8, or as parquet",
        )


def _cell(value: object) -> object:
    return "" if value is None else value.strip() if isinstance(value, str) else value


def _is_filled(sheet: Any) -> bool:
    return any(value not in (None, "") for row in sheet.iter_rows(values_only=True) for value in row)


def _refuse_formulas(path: Path, data: bytes, title: str, rows: dict[int, list[object]]) -> None:
    """Programs that write workbooks without computing them leave formulas that have no value."""
    if all(cell != "" for row in rows.values() for cell in row):
        return
    with _opened(path, data, values=False) as workbook:
        bare = [
            f"{cell.coordinate} {shown(cell.value)}"
            for row in workbook[title].iter_rows()
            for cell in row
            if getattr(cell, "data_type", "") == "f"
            and rows.get(cell.row, [])[cell.column - 1 : cell.column] in ([], [""])
        ]
    if bare:
        raise UserError(
            f"{path} has formulas whose values were never stored, in sheet {shown(title)!r}",
            got=f"{len(bare)} cells: {some(bare, 3)}",
            expected="numbers",
            fix="open it in a spreadsheet program and save it there, which computes and stores them",
        )
