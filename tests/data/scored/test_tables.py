"""Tables as people keep them, and which of their columns holds what."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iqa.config.data import DataConfig
from iqa.data.scored.columns import raw_from_table
from iqa.data.scored.tables import read_table
from iqa.errors import UserError

ROWS = [["a b (1).jpg", "1.5"], ["c.png", "2"], ["d.bmp", "3.25"]]


def written(folder: Path, content: str | bytes, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def raw(path: Path, **settings: object):
    return raw_from_table(DataConfig(dataset="csv", csv=str(path), **settings))


@pytest.mark.parametrize(
    "text",
    [
        "image,mos\na b (1).jpg,1.5\nc.png,2\nd.bmp,3.25\n",
        "\ufeffimage,mos\r\na b (1).jpg,1.5\r\n\r\nc.png,2\r\nd.bmp,3.25",
        "image\tmos\na b (1).jpg\t1.5\nc.png\t2\nd.bmp\t3.25\n",
        "image;mos\na b (1).jpg;1,5\nc.png;2\nd.bmp;3,25\n",
        'image, mos\n"a b (1).jpg", 1.5\nc.png , 2\nd.bmp, 3.25\n',
        "image,mos,,\na b (1).jpg,1.5,,\nc.png,2\nd.bmp,3.25,,\n,,,\n",
        "image mos\na b (1).jpg 1.5\nc.png   2\nd.bmp\t3.25\n",
        "image\tmos\na b (1).jpg\t1,5\nc.png\t2\nd.bmp\t3,25\n",
        'image,mos\na b (1).jpg,"1,5"\nc.png,2\nd.bmp,"3,25"\n',
        "image mos\na b (1).jpg 1,5\nc.png 2\nd.bmp 3,25\n",
        "image|mos\na b (1).jpg|1.5\nc.png|2\nd.bmp|3,25\n",
        "image=mos\na b (1).jpg=1.5\nc.png=2\nd.bmp=3.25\n",
        "image: mos\na b (1).jpg: 1.5\nc.png: 2\nd.bmp: 3.25\n",
        "sep=;\nimage;mos\na b (1).jpg;1,5\nc.png;2\nd.bmp;3,25\n",
    ],
)
def test_all_ways_to_write_a_table_say_the_same(tmp_path: Path, text: str) -> None:
    table = read_table(written(tmp_path, text))
    assert table.columns.tolist() == ["image", "mos"]
    assert table.to_numpy().tolist() == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_names_in_any_script_survive(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path, "图像,分数\n寺.jpg,3\n".encode(encoding)))
    assert table.columns.tolist() == ["图像", "分数"]
    assert table.iloc[0].tolist() == ["寺.jpg", "3"]


def test_text_is_not_interpreted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "name,mos\n0012,1\nNA,2\n1_000,\n"))
    assert table.to_numpy().tolist() == [["0012", "1"], ["NA", "2"], ["1_000", ""]]


def test_parquet_and_xlsx_keep_their_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": ["a.jpg", "NA"], "mos": [1.5, 2.0], "set": ["train", None]})
    frame.to_excel(tmp_path / "scores.xlsx", index=False)
    frame.set_index("image").to_parquet(tmp_path / "scores.parquet")
    for name in ("scores.xlsx", "scores.parquet"):
        table = read_table(tmp_path / name)
        assert table.columns.tolist() == ["image", "mos", "set"]
        assert table["image"].tolist() == ["a.jpg", "NA"]
        assert table["mos"].tolist() == [1.5, 2.0]


def test_an_xlsx_may_have_no_header(tmp_path: Path) -> None:
    pd.DataFrame(ROWS).to_excel(tmp_path / "scores.xlsx", index=False, header=False)
    assert read_table(tmp_path / "scores.xlsx").to_numpy().tolist() == ROWS


@pytest.mark.parametrize("first", ["5.5 I01.bmp", "I01.bmp, 5.5", "I01\t5.5"])
def test_a_first_row_with_a_value_is_no_header(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, f"{first}\n{first.replace('I01', 'I02')}\n", "scores.txt")
    assert read_table(path).columns.tolist() == [0, 1]
    assert len(read_table(path)) == 2
    assert len(read_table(path, header=True)) == 1


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("image,mos,2024\na.jpg,1,7\nb.jpg,2,7\n", ["image", "mos", "2024"]),
        ("image,1,2,3,MOS\na.jpg,0,4,1,2.5\nb.jpg,1,4,1,2\n", ["image", "1", "2", "3", "MOS"]),
        ("name,2023,2024,MOS\nI01,0,4,2.5\nI02,1,4,2\n", ["name", "2023", "2024", "MOS"]),
        ("0,1\na.jpg,1.5\nb.jpg,2\n", ["0", "1"]),
        ("I01,1.5,n/a\nI02,2,3\nI03,2,3\n", [0, 1, 2]),
        ("a.pgn,1.5\nb.png,2\nc.png,2\n", [0, 1]),
    ],
)
def test_a_header_is_told_by_being_unlike_what_is_below(tmp_path: Path, text: str, columns: list) -> None:
    assert read_table(written(tmp_path, text)).columns.tolist() == columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("My study\nimage,mos\n{rows}", r"(?s)line 1 is no header.*'My study'"),
        ("My study,2024\nimage,mos\n{rows}", r"(?s)line 2 looks like the header, and line 1 stands"),
        ("image,mos\n{rows}\nrater,age\nr1,30\n", r"(?s)a second table begins in line 15.*rater, age"),
    ],
)
def test_what_is_above_or_below_the_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    rows = "".join(f"{number}.jpg,{number}\n" for number in range(12))
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, text.format(rows=rows)))


def test_columns_under_any_name_are_told_by_content(tmp_path: Path) -> None:
    found = raw(written(tmp_path, "备注,图片,分数\n好,a.jpg,1\n差,b.jpg,5\n"))
    assert found.table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert found.table["score"].tolist() == [1, 5]
    assert found.said == (
        "scores.csv: comma between columns, header in line 1, 2 rows; pictures in '图片', scores in '分数'"
    )
    assert list(found.lines) == [2, 3]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('name;mos\n"1,5";"3,5"\nx;2,5\n', [["1,5", "3.5"], ["x", "2.5"]]),
        ('name,elo\na,"1,423.5"\nb,"1,500"\n', [["a", "1,423.5"], ["b", "1,500"]]),
        ("name;mos\na;,5\nb;-1,5e1\nc;n/a\n", [["a", ".5"], ["b", "-1.5e1"], ["c", "n/a"]]),
    ],
)
def test_commas_are_decimal_in_columns_of_numbers_alone(tmp_path: Path, text: str, cells: list) -> None:
    assert read_table(written(tmp_path, text)).to_numpy().tolist() == cells


def test_a_column_without_a_number_shows_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)'mos' of .*scores\.csv holds no numbers.*'good', 'bad'"):
        raw(written(tmp_path, "image,mos\na.jpg,good\nb.jpg,bad\n"))


def test_messages_about_wide_tables_stay_short(tmp_path: Path) -> None:
    header = ",".join(f"{'column' * 50}{number}" for number in range(300))
    with pytest.raises(UserError) as caught:
        raw(written(tmp_path, f"{header}\n{','.join(['x'] * 300)}\n"))
    assert len(str(caught.value)) < 2000


def test_the_header_can_be_denied(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "one,good\ntwo,bad\n"), header=False)
    assert table.to_numpy().tolist() == [["one", "good"], ["two", "bad"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,mos\na.jpg,1\nb.jpg,2,x,y\n", r"(?s)scores\.csv, line 3: a row is longer.*4 cells: b\.jpg, 2, x, y"),
        ("image,mos\n\na.jpg,3,5\nb.jpg,2,5\n", r"(?s)line 3: a row is longer.*2 of 2 rows.*fix: if 3,5 means 3\.5"),
        ("image,mos,std\na.jpg,3,1\nb.jpg,1\n", r"(?s)line 3: a row is shorter.*expected: 3 cells.*image, mos, std"),
        ("a.jpg,3,1\nb.jpg,1\nc.jpg,2,1\n", r"line 2: a row is shorter than the others"),
        ("a.jpg,3\nb.jpg,1,,,9\nc.jpg,2\n", r"line 2: a row is longer than the others"),
        ("image mos\na.jpg 3 1\nb.jpg 1\n", r"(?s)line 2: a row is longer.*by tabs or commas"),
        ("image,mos,\na.jpg,3,05\nb.jpg,2,50\n", r"columns 1 and 2 look like numbers cut"),
        ("a.jpg,3,05\nb.jpg,2,50\n", r"(?s)columns 1 and 2 look like numbers cut at their decimal commas.*2,50"),
    ],
)
def test_rows_of_different_length_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, text))


def test_row_numbers_of_r_are_a_column_of_their_own(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, '"image" "mos"\n"1" "a b.jpg" 3\n"2" "c.jpg" 4\n'))
    assert table.columns.tolist() == ["Unnamed: 0", "image", "mos"]
    assert table["image"].tolist() == ["a b.jpg", "c.jpg"]


def test_a_named_column_stays_though_it_is_empty(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "image,mos,note,\na.jpg,1,,\n")).columns.tolist() == ["image", "mos", "note"]


def test_a_name_that_occurs_again_gets_a_number(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "x,x,x.1,x\na,b,c,d\n"))
    assert table.columns.tolist() == ["x", "x.2", "x.1", "x.3"]
    assert table.iloc[0].tolist() == ["a", "b", "c", "d"]


def test_semicolons_inside_cells_are_no_columns(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a.jpg,3.5,sky;tree\nb.jpg,2.5,sea;boat\n"))
    assert table.iloc[0].tolist() == ["a.jpg", "3.5", "sky;tree"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.csv", b"", "no rows"),
        ("scores.csv", b"image,mos\n", "no rows"),
        ("scores.csv", "naïve.jpg,1".encode("latin-1"), "UTF-8"),
        ("scores.csv", b"a\0b,1\n", "no text"),
        ("scores.csv", b'image,mos\n"a.jpg,1\nb.jpg,2\n', "line 2: a quote opens here and never closes"),
        ("scores.parquet", b"PAR1 no parquet PAR1", "parquet"),
        ("scores.xlsx", b"PK no sheet", "xlsx"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, content, name))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_table(tmp_path / "scores.csv")
    with pytest.raises(UserError, match=r"data\.csv"):
        raw(tmp_path / "scores.csv")


def test_columns_are_found_by_usual_names(tmp_path: Path) -> None:
    text = "Ref_Name,Image Name,MOS,std,Set,subset\nr1, a.jpg,1,.1,training,s1\nr1,b.jpg,5,.1,Validation,s2\n"
    found = raw(written(tmp_path, text))
    assert found.image_root == tmp_path
    assert found.table.drop(columns=["kind", "level"]).to_numpy().tolist() == [
        ["a.jpg", 1.0, "r1", "train", "s1"],
        ["b.jpg", 5.0, "r1", "val", "s2"],
    ]
    assert (found.scale.low, found.scale.high, found.scale.higher_is_better) == (1, 5, True)


@pytest.mark.parametrize(
    "columns", [{"image": "photo", "score": "BEAUTY", "group": "set"}, {"image": 1, "score": 2, "group": 0}]
)
def test_columns_are_named_or_numbered(tmp_path: Path, columns: dict) -> None:
    path = written(tmp_path, "set,photo,Beauty\nr1,a.jpg,1\nr2,b.jpg,5\n")
    table = raw(path, columns=columns, score_range=(0, 10)).table
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["score"].tolist() == [1, 5]
    assert table["group"].tolist() == ["r1", "r2"]
    assert table["split"].tolist() == ["", ""]


def test_an_empty_name_means_that_there_is_no_such_column(tmp_path: Path) -> None:
    path = written(tmp_path, "image,mos,split\na.jpg,1,0\nb.jpg,5,2\n")
    assert raw(path, columns={"split": ""}).table["split"].tolist() == ["", ""]


@pytest.mark.parametrize("text", ["1.5 a.bmp\n2.5 b.bmp\n", "a.bmp 1.5\nb.bmp 2.5\n"])
def test_without_a_header_the_content_tells(tmp_path: Path, text: str) -> None:
    table = raw(written(tmp_path, text, "mos_with_names.txt")).table
    assert table["image"].tolist() == ["a.bmp", "b.bmp"]
    assert table["score"].tolist() == [1.5, 2.5]


def test_names_without_extension_are_told_by_not_being_numbers(tmp_path: Path) -> None:
    assert raw(written(tmp_path, "5.5 I01_01_1\n4.5 i01_01_2\n", "mos.txt")).table["image"].tolist() == [
        "I01_01_1",
        "i01_01_2",
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("photo,ref,mos\na.jpg,r.jpg,1\n", {}, r"(?s)image cannot be told.*photo, ref.*set data\.columns\.image"),
        ("image,value,std\na.jpg,1,2\n", {}, r"(?s)score cannot be told.*value, std.*set data\.columns\.score"),
        ("image,note\na.jpg,good\n", {}, r"(?s)score cannot be told.*image, note.*set data\.columns\.score"),
        ("image,mos,mos\na.jpg,1,2\n", {}, r"(?s)mos, mos\.1.*set data\.columns\.score"),
        ("image,mos,,image,mos\na.jpg,1,,b.jpg,2\n", {}, r"(?s)image, image\.1.*set data\.columns\.image"),
        ("a.jpg,1,2\n", {}, r"data\.header"),
        ("image,mos,dmos\na.jpg,1,2\n", {}, r"(?s)mos, dmos.*set data\.columns\.score"),
        ("a.jpg,1,2\n", {}, r"(?s)0, 1, 2.*set data\.columns\.score"),
        ("a.jpg,r.jpg,2\n", {}, r"set data\.columns\.image"),
        ("12,2\n", {}, r"set data\.columns\.image"),
        ("image,mos\na.jpg,1\n", {"score": "mso"}, r"(?s)data\.columns\.score.*did you mean 'mos'"),
        ("image,mos\na.jpg,1\n", {"group": 2}, r"(?s)data\.columns\.group.*from 0 to 1"),
        ("a.jpg,1\n", {"score": "mos"}, r"(?s)data\.columns\.score.*no header"),
    ],
)
def test_what_cannot_be_told_names_the_key(tmp_path: Path, text: str, columns: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        raw(written(tmp_path, text), columns=columns)


def test_numbers_are_no_splits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)'0', '1', '2'.*data\.columns\.split"):
        raw(written(tmp_path, "image,mos,split\na.jpg,1,0\nb.jpg,2,1\nc.jpg,3,2\n"))


def test_what_is_no_finite_number_is_no_score(tmp_path: Path) -> None:
    scores = raw(written(tmp_path, "image,mos\na,1\nb,x\nc,\nd,inf\ne,-1e1\n")).table["score"]
    np.testing.assert_array_equal(scores, [1, np.nan, np.nan, np.nan, -10])


def test_numbers_of_a_spreadsheet_are_names(tmp_path: Path) -> None:
    pd.DataFrame({"image": [1001.0, 1002.0], "mos": [1, 2]}).to_excel(tmp_path / "scores.xlsx", index=False)
    assert raw(tmp_path / "scores.xlsx").table["image"].tolist() == ["1001", "1002"]


def test_scores_that_do_not_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not differ"):
        raw(written(tmp_path, "image,mos\na.jpg,3\nb.jpg,3\n"))


def test_a_difference_score_without_a_direction_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "image,dmos\na.jpg,1\nb.jpg,2\n")
    with caplog.at_level(logging.WARNING):
        raw(path, score_direction="lower_is_better")
        assert not caplog.records
        assert raw(path).scale.higher_is_better
    assert len(caplog.records) == 1
    assert "data.score_direction" in caplog.text


def test_places_are_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    written(tmp_path, "image,mos\na.jpg,1\nb.jpg,2\n")
    found = raw(Path("scores.csv"), root=str(tmp_path), image_root="Images")
    assert found.image_root == tmp_path / "Images"
    with pytest.raises(UserError, match=r"data\.image_root"):
        raw(Path("scores.csv"), root=str(tmp_path), image_root="Pictures")
