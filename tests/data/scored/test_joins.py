"""Which file a row means, and one report of all rows that mean none."""

from __future__ import annotations

import json
import logging
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iqa.data.manifest import ScoreScale
from iqa.data.scored.joins import (
    CONFLICTING,
    FIRST,
    NO_SCORE,
    OUT_OF_RANGE,
    UNREADABLE,
    JoinReport,
    join,
)
from iqa.data.scored.locate import AMBIGUOUS, MISSING, NO_NAME, OUTSIDE, NotFound, PictureIndex, check_root
from iqa.data.scored.rawset import RAW_COLUMNS, RawSet
from iqa.errors import UserError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def raw(root: Path, names: list[str], scores: list[float] | None = None, **columns: object) -> RawSet:
    defaults: dict = dict.fromkeys(RAW_COLUMNS, "") | {"level": 0}
    scores = list(np.linspace(1, 5, len(names))) if scores is None else scores
    table = pd.DataFrame({**defaults, "image": names, "score": scores, **columns}, columns=list(RAW_COLUMNS))
    return RawSet(table, root, ScoreScale(1, 5), ())


def reason(index: PictureIndex, name: str) -> str:
    with pytest.raises(NotFound) as caught:
        index.find(name)
    return caught.value.reason


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("ss02 (1014).JPG", "ss02 (1014).jpg"),
        ("Set A/Photo [1].PNG", "set a/photo [1].png"),
        ("my photo#2.png", "my%20photo%232.png"),
        ("my%20photo.png", "my photo.png"),
        ("100%.png", "100%.png"),
        ("part/a.bmp", "part\\a.bmp"),
        ("part/a.bmp", "./part//x/../a.bmp"),
        ("I01.png", "i01"),
        ("1600.AWGN.1.png", "1600.AWGN.1"),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "É.png")),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
    ],
)
def test_names_written_differently_are_found(tmp_path: Path, on_disk: str, written: str) -> None:
    touch(tmp_path, on_disk, "other.jpg")
    assert PictureIndex(tmp_path).find(written) == on_disk


def test_names_as_on_disk_are_found_without_a_look_at_how_others_are_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iqa.data.scored.locate._fold", lambda name: pytest.fail(f"folded {name}"))
    index = PictureIndex(touch(tmp_path, "a.jpg", "A.jpg", "sub/b.png"))
    assert [index.find(name) for name in ("a.jpg", "A.jpg", "sub/b.png")] == ["a.jpg", "A.jpg", "sub/b.png"]


def test_an_absolute_name_below_the_root_is_found(tmp_path: Path) -> None:
    touch(tmp_path / "real", "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for root in ("real", "link"):
        assert PictureIndex(tmp_path / root).find(str(tmp_path / root / "a.jpg")) == "a.jpg"


def test_several_files_that_fit_are_not_guessed_at(tmp_path: Path) -> None:
    index = PictureIndex(touch(tmp_path, "a.jpg", "A.jpg", "b.jpg", "b.png", "c.JPG", "c.txt"))
    assert reason(index, "a.JPG") == AMBIGUOUS
    assert reason(index, "b") == AMBIGUOUS
    assert index.find("A.jpg") == "A.jpg"
    assert index.find("c") == "c.JPG"


@pytest.mark.parametrize("name", ["a.png", "x/a.jpg", "c", "a.jpg\0", "sub", "a.jpg" * 1000])
def test_other_files_are_not_taken_for_it(tmp_path: Path, name: str) -> None:
    assert reason(PictureIndex(touch(tmp_path, "a.jpg", "c.txt", "sub/d.jpg")), name) == MISSING


@pytest.mark.parametrize("name", ["../secret.jpg", "a/../../secret.jpg", "..\\secret.jpg", "/etc/passwd", "C:\\x.jpg"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "secret.jpg", "root/a.jpg")
    assert reason(PictureIndex(tmp_path / "root"), name) == OUTSIDE


def test_a_folder_whose_name_begins_like_the_root_is_outside(tmp_path: Path) -> None:
    touch(tmp_path, "root/a.jpg", "root2/b.jpg")
    assert reason(PictureIndex(tmp_path / "root"), str(tmp_path / "root2" / "b.jpg")) == OUTSIDE


def test_percent_signs_do_not_lead_out(tmp_path: Path) -> None:
    touch(tmp_path, "secret.jpg", "root/a.jpg")
    assert reason(PictureIndex(tmp_path / "root"), "%2e%2e/secret.jpg") == MISSING


def test_links_below_the_root_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "real/a.jpg")
    touch(tmp_path, "outside/b.jpg")
    (root / "alias.jpg").symlink_to("real/a.jpg")
    (root / "folder").symlink_to("real")
    (root / "loop").symlink_to(".")
    (root / "out.jpg").symlink_to(tmp_path / "outside" / "b.jpg")
    (root / "again.jpg").symlink_to("out.jpg")
    (root / "away").symlink_to(tmp_path / "outside")
    (root / "dangling.jpg").symlink_to("nowhere.jpg")
    index = PictureIndex(root)
    for name in ("real/a.jpg", "alias.jpg", "ALIAS.JPG", "folder/a.jpg", "loop/folder/a.jpg"):
        assert index.find(name) == "real/a.jpg"
    assert {index.find(name) for name in ("out.jpg", "again.jpg", "away/b.jpg")} == {"again.jpg"}
    assert reason(index, "dangling.jpg") == MISSING
    for name in ("../outside/b.jpg", "away/../../outside/b.jpg", str(tmp_path / "outside" / "b.jpg")):
        assert reason(index, name) == OUTSIDE


def test_links_that_run_in_circles_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    index = PictureIndex(tmp_path)
    assert index.find("A.JPG") == "a.jpg"
    assert [reason(index, name) for name in ("loop.jpg", "one/a.jpg", "loop")] == [MISSING] * 3


@pytest.mark.parametrize(
    "before",
    ["data/pictures/", "D:\\set\\pictures\\", "/home/someone/set/", "https://example.org/a%20set/", "\\\\server\\x\\"],
)
def test_folders_that_all_names_begin_with_are_left_out(tmp_path: Path, before: str) -> None:
    touch(tmp_path, "a.jpg", "x/b.jpg")
    table, report = join(raw(tmp_path, [f"{before}a.jpg", f"{before}x/b.jpg"]), "fail")
    assert table["image"].tolist() == ["a.jpg", "x/b.jpg"]
    assert f"'{before}'" in report.said


def test_folders_are_left_out_for_all_rows_or_none(tmp_path: Path) -> None:
    touch(tmp_path, *"abc")
    with pytest.raises(UserError, match=r"(?s)2 rows.*strip what stands before them in the table, such as 'set/'"):
        join(raw(tmp_path, ["a", "set/b", "set/c"]), "fail")
    table, _ = join(raw(tmp_path, ["set/a", "set/b", "set/gone"]), "skip")
    assert table["image"].tolist() == ["a", "b"]


def test_what_may_be_left_out_in_two_ways_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "new/a.jpg", "new/b.jpg")
    with pytest.raises(UserError, match=r"missing: set/new/a\.jpg"):
        join(raw(tmp_path, ["set/new/a.jpg", "set/new/b.jpg"]), "fail")


def test_names_that_go_up_are_not_cut_to_fit(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(UserError, match="outside the image root"):
        join(raw(tmp_path, ["../set/a.jpg", "../set/b.jpg"]), "fail")


def test_full_paths_of_files_that_are_there_name_their_folder(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "a.jpg", "b.jpg")
    (tmp_path / "tables").mkdir()
    names = [str(tmp_path / "pictures" / name) for name in ("a.jpg", "b.jpg")]
    with pytest.raises(UserError, match=r"set data\.image_root to that folder"):
        join(raw(tmp_path / "tables", names), "fail")


def test_the_whole_file_system_is_no_image_root() -> None:
    for root in (Path("/"), Path("/tmp/..")):
        with pytest.raises(UserError, match=r"data\.image_root is the whole file system"):
            check_root(root, "data.image_root", "a folder")


def test_the_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"{number % 3}/{number}.jpg" for number in range(30)))
    scanned = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scan(path))
    join(raw(tmp_path, [f"{number % 3}/{number}.JPG" for number in range(30)]), "fail")
    assert len(scanned) == 4


def test_rows_that_are_alike_become_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    table, report = join(raw(tmp_path, ["a.jpg", "b.jpg", "A.JPG", "a.jpg"], [2, 3, 2, 2]), "fail")
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert (report.rows, report.used, report.duplicates, report.faults) == (4, 2, 2, 0)


@pytest.mark.parametrize("columns", [{"scores": [2, 4, 3]}, {"scores": [2, 2, 3], "split": ["train", "test", "train"]}])
def test_rows_of_one_picture_that_differ_are_all_refused(tmp_path: Path, columns: dict) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    table, report = join(raw(tmp_path, ["a.jpg", "A.jpg", "b.jpg"], **columns), "skip")
    assert table["image"].tolist() == ["b.jpg"]
    assert report.counts == {CONFLICTING: 2}


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_row_for_each_rating_is_refused_even_where_raters_agree(tmp_path: Path, on_error: str) -> None:
    touch(tmp_path, *"abcd")
    ratings = raw(tmp_path, list("aabbccdd"), [1, 2, 3, 3, 4, 4, 5, 5])
    ratings = replace(ratings, files=(Path("scores.csv"),), lines=range(2, 10), unit="line")
    with pytest.raises(
        UserError, match=r"(?s)scores\.csv has several ratings.*4 of 4.*a \(1\) in line 2, a \(2\) in line 3"
    ):
        join(ratings, on_error)


def test_faults_tell_their_place_in_the_table(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    placed = replace(raw(tmp_path, ["a.jpg", "b.jpg", ""]), files=(Path("s.csv"),), lines=(2, 3, 5), unit="line")
    with pytest.raises(UserError, match=r"(?s)2 rows of the table s\.csv.*b\.jpg in line 3.*no picture name: line 5"):
        join(placed, "fail")


def test_a_report_of_many_long_names_stays_short() -> None:
    report = JoinReport(1000)
    for reason in ("one", "two", "three", "four", "five"):
        report.add(reason, [f"{'long' * 20}{number}" for number in range(100)])
    with pytest.raises(UserError) as caught:
        report.settle("fail")
    assert len(str(caught.value)) < 2000


def test_scores_must_be_on_the_scale(tmp_path: Path) -> None:
    touch(tmp_path, *"abcdef")
    scores = [1 - 1e-10, 5 + 1e-10, 5.001, 0.999, np.nan, 3]
    table, report = join(raw(tmp_path, list("abcdef"), scores), "skip")
    assert table["image"].tolist() == ["a", "b", "f"]
    assert report.counts == {OUT_OF_RANGE: 2, NO_SCORE: 1}


def every_fault(root: Path) -> RawSet:
    touch(root, "good.jpg", "nan.jpg", "far.jpg", "twice.jpg", "both.jpg", "Both.jpg")
    names = ["good.jpg", "good.jpg", "nan.jpg", "far.jpg", "twice.jpg", "twice.jpg", "BOTH.jpg", "../x.jpg", "", "gone"]
    return raw(root, names, [3, 3, np.nan, 9, 1, 2, 3, 3, 3, 3])


def test_one_error_holds_the_whole_report(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        join(every_fault(tmp_path), "fail")
    text = str(caught.value)
    for part in (NO_SCORE, OUT_OF_RANGE, CONFLICTING, AMBIGUOUS, OUTSIDE, NO_NAME, MISSING, "data.on_error"):
        assert part in text
    for name in ("nan.jpg", "far.jpg (9)", "twice.jpg (1), twice.jpg (2)", "BOTH.jpg", "../x.jpg", "row 9", "gone"):
        assert name in text


def test_skipping_leaves_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table, report = join(every_fault(tmp_path), "skip")
    assert table["image"].tolist() == ["good.jpg"]
    assert (report.rows, report.used, report.duplicates, report.faults) == (10, 1, 1, 8)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(report) in caplog.text
    assert json.loads(json.dumps(report.to_dict()))["faults"][MISSING] == {"count": 1, "first": ["gone"]}


def test_nothing_left_is_an_error_either_way(tmp_path: Path) -> None:
    for on_error in ("fail", "skip"):
        with pytest.raises(UserError, match="no others are left"):
            join(raw(tmp_path, ["a.jpg", "b.jpg"]), on_error)


def test_a_wrong_image_root_is_hinted_at(tmp_path: Path) -> None:
    touch(tmp_path, "Images/a.jpg")
    with pytest.raises(UserError, match=r"is in .*Images, is that data\.image_root"):
        join(raw(tmp_path, ["a.jpg", "b.jpg"]), "fail")


def test_a_report_names_the_first_and_counts_all() -> None:
    report = JoinReport(100)
    report.add(UNREADABLE, (f"{number}.jpg" for number in range(8)))
    report.add(UNREADABLE, (f"{number}.jpg" for number in range(8, 30)))
    assert report.names[UNREADABLE] == [f"{number}.jpg" for number in range(FIRST)]
    assert (report.faults, report.used) == (30, 70)
    assert "30 x unreadable: 0.jpg" in str(report)
    assert "9.jpg, ..." in str(report)
    with pytest.raises(UserError, match="30 rows"):
        report.settle("fail")


def test_pictures_that_are_no_files_need_no_folder(tmp_path: Path) -> None:
    table, _ = join(raw(tmp_path / "nowhere", ["train/0", "train/1"]), "fail", on_disk=False)
    assert table["image"].tolist() == ["train/0", "train/1"]
