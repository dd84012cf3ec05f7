"""Tables as text: quotes, delimiters, long cells and names with spaces."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iqa.data.scored.tables import open_table, read_table
from iqa.data.scored.text import read_text
from iqa.errors import UserError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=8).map(str.strip)


def table(folder: Path, text: str, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_what_a_program_writes_is_read_as_it_was(cells: list[tuple[str, str]], delimiter: str) -> None:
    rows = [("image", "note", "mos"), *((f"{number}.png", *row) for number, row in enumerate(cells))]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    assert [tuple(row) for row in read_text(Path("scores.csv"), written.getvalue().encode()).rows] == rows


def test_a_cell_may_be_long_and_have_lines(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "A" * (limit + 10)
    path = table(tmp_path, f'image,prompt,mos\na.png,{long},1\nb.png,"a cat,\non a mat, red",2\nc.png,"{long}",3\n')
    found = open_table(path)
    assert found.frame["prompt"].tolist() == [long, "a cat,\non a mat, red", long]
    assert found.frame["mos"].tolist() == ["1", "2", "3"]
    assert found.lines == [2, 3, 5]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_quote_that_swallows_rows_is_refused_with_its_line(tmp_path: Path, delimiter: str) -> None:
    rows = [["image", "prompt", "mos"], *([f"{number}.png", f"prompt {number}", f"{number}.5"] for number in range(9))]
    for first, last in ((3, 7), (3, 4), (8, 9)):
        cells = [list(row) for row in rows]
        cells[first][1], cells[last][1] = '"a cat', 'dog"'
        path = table(tmp_path, "".join(delimiter.join(row) + "\n" for row in cells))
        with pytest.raises(UserError, match=rf"scores\.csv, line {first + 1}: a quote opens here and swallows rows"):
            read_table(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('image,note,mos\n"a.png,x,1\nb.png,x,2\n', 2),
        ('image,note,mos\na.png,x,1\nb.png,"x,2\n', 3),
        ('"image,note,mos\na.png,x,1\n', 1),
        ('image,note,mos\na.png,"5" wide",1\nb.png,x,2\n', 2),
        ('image,note,mos\na.png,"x,1\nb.png,"y",2\n', 2),
    ],
)
def test_quotes_that_do_not_pair_are_refused_with_their_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UserError, match=rf"scores\.csv, line {line}: a quote opens here"):
        read_table(table(tmp_path, text))


def test_quotes_inside_cells_are_signs_like_others(tmp_path: Path) -> None:
    path = table(tmp_path, 'image,note,mos\na.png,5" wide,1\nb.png,"5"" wide",2\n')
    assert read_table(path)["note"].tolist() == ['5" wide', '5" wide']


@pytest.mark.parametrize("mark", ["~", "^", "->", "，"])
def test_an_unknown_delimiter_is_named_with_the_known_ones(tmp_path: Path, mark: str) -> None:
    path = table(tmp_path, "".join(f"{number}.png{mark}{number}.5\n" for number in range(9)))
    with pytest.raises(UserError, match=r"(?s)unknown delimiter.*line 9.*comma"):
        read_table(path)


@pytest.mark.parametrize(
    "names",
    [
        ["my photo.png", "other.png"],
        ["IMG 1.png", "IMG 2.png"],
        ["a=1.png", "b=2.png"],
        ["a|b.jpg", "c:d.jpg", "e~2.jpg"],
        ["I01", "I02"],
    ],
)
def test_a_list_of_names_is_one_column(tmp_path: Path, names: list[str]) -> None:
    path = table(tmp_path, "\n".join(names), "list.txt")
    assert read_table(path, header=False).to_numpy().tolist() == [[name] for name in names]


def test_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes("image,note\na.png,x\nb.png,é\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"(?s)no table in UTF-8.*line 3"):
        read_table(path)
