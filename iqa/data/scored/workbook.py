"""Tables in workbooks: the first sheet that holds anything, and what of the workbook is not read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iqa.data.scored.cells import Sheet, shown
from iqa.errors import UserError, some


def read_workbook(path: Path, data: bytes) -> Sheet:
    """The rows of the first visible sheet that is not empty.

    Raises:
        UserError: it cannot be read, is empty, or has formulas whose values were never stored.
    """
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
    _refuse_formulas(path, data, sheet.title, {number: row for number, row in rows})
    return Sheet(
        rows=[[*row[left:], *[""] * (width - len(row))] for _, row in rows],
        lines=[number for number, _ in rows],
        unit="row",
        parted=f"sheet {shown(sheet.title)!r}",
        remarks=[f"NOT read: {len(others)} more sheets ({some(others)})" if len(others) > 1 else f"NOT read: sheet {others[0]}"]
        if others
        else [],
        place=f"sheet {shown(sheet.title)!r}",
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
            if getattr(cell, "data_type", "") == "f" and rows.get(cell.row, [])[cell.column - 1 : cell.column] in ([], [""])
        ]
    if bare:
        raise UserError(
            f"{path} has formulas whose values were never stored, in sheet {shown(title)!r}",
            got=f"{len(bare)} cells: {some(bare, 3)}",
            expected="numbers",
            fix="open it in a spreadsheet program and save it there, which computes and stores them",
        )
