"""Workbooks and parquet: what of them is read, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from iqa.data.scored.tables import open_table
from iqa.errors import UserError

FRAME = pd.DataFrame({"image": ["a.jpg", "b.jpg", "c.jpg"], "mos": [1, 2.5, 3]})


def workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


ROWS: list[list[object]] = [["image", "mos"], ["a.jpg", 1], ["b.jpg", 2.5], ["c.jpg", 3]]
LONG: list[list[object]] = [["image", "mos"], *([f"{number}.jpg", number / 2] for number in range(12))]


def test_the_first_sheet_with_anything_is_read_and_the_others_are_told(tmp_path: Path) -> None:
    table = open_table(workbook(tmp_path / "s.xlsx", {"empty": [], "scores": ROWS, "more": ROWS, "notes": [["by me"]]}))
    assert table.frame["mos"].tolist() == [1, 2.5, 3]
    assert "sheet 'scores'" in table.said
    assert "NOT read: 2 more sheets, 'more', 'notes'" in table.said


def test_a_sheet_without_a_table_names_the_others(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", {"about": [["My study"]], "scores": ROWS})
    with pytest.raises(UserError, match=r"(?s)sheet 'about'.*has no rows.*'scores'"):
        open_table(path)


def test_a_table_may_begin_anywhere_in_its_sheet(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", {"scores": [[], [], *([None, None, *row] for row in ROWS)]})
    table = open_table(path)
    assert table.frame.columns.tolist() == ["image", "mos"]
    assert table.lines == [4, 5, 6]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["My study"], [], *LONG], r"(?s)'scores'\): row 1 is no header.*'My study'"),
        ([["My study", "2024"], *LONG], "row 2 looks like the header, and row 1 stands above it"),
        ([*LONG, [], ["rater", "age"], ["r1", 30]], r"a second table begins in row 15"),
    ],
)
def test_what_is_above_or_below_the_table_is_refused(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_table(workbook(tmp_path / "s.xlsx", {"scores": rows}))


def test_formulas_without_values_are_told_by_their_cells(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", {"scores": [*ROWS[:3], ["c.jpg", "=AVERAGE(B2:B3)"]]})
    with pytest.raises(UserError, match=r"(?s)values were never stored.*1 cells: B4 =AVERAGE\(B2:B3\)"):
        open_table(path)


def test_text_with_decimal_commas_is_numbers(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", {"scores": [["image", "mos"], ["a.jpg", "1,5"], ["b.jpg", 2]]})
    table = open_table(path)
    assert table.frame["mos"].tolist() == ["1.5", 2]
    assert "decimal commas in 'mos'" in table.said


def test_bytes_and_not_names_tell_the_kind(tmp_path: Path) -> None:
    FRAME.to_excel(tmp_path / "s.xlsx", index=False)
    FRAME.to_parquet(tmp_path / "s.parquet")
    for source, name in (("s.xlsx", "a.csv"), ("s.xlsx", "a.xlsm"), ("s.parquet", "b.csv")):
        (tmp_path / name).write_bytes((tmp_path / source).read_bytes())
        assert open_table(tmp_path / name).frame["mos"].tolist() == [1, 2.5, 3]


def test_pictures_inside_parquet_are_sent_to_where_they_are_read(tmp_path: Path) -> None:
    for cell in ({"bytes": b"x" * 10_000, "path": "a.png"}, b"x" * 10_000):
        FRAME.assign(image=[cell] * 3).to_parquet(tmp_path / "s.parquet")
        with pytest.raises(
            UserError, match=r"(?s)holds the pictures themselves.*data\.dataset to huggingface"
        ) as caught:
            open_table(tmp_path / "s.parquet")
        assert len(str(caught.value)) < 800
