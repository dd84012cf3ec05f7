"""What is taken of a folder, a glob or a table to score, and what is said of the rest."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from iqa.errors import UserError
from iqa.scoring.inputs import FOLDER_LINKS, HIDDEN, NO_SUFFIX, find_inputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures among other files, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.JPG", "x.psd", "y.PSD", "clip.mp4", "Makefile", ".DS_Store", "._a.png", "in/c.png",
                 "in/c.nef", ".thumbnails/a.png"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    return tmp_path


def test_other_files_of_a_folder_are_counted_by_type(folder: Path) -> None:
    for where in (".", "**", "**/*"):
        found = find_inputs(where)
        assert found.names == ["a.png", "b.JPG", "in/c.png"]
        assert found.left_out == {".psd": 2, ".mp4": 1, ".nef": 1, NO_SUFFIX: 1, HIDDEN: 2}
    assert find_inputs("*.png").left_out == {HIDDEN: 1}
    assert find_inputs("in/*").left_out == {".nef": 1}


def test_a_folder_without_pictures_says_what_is_in_it(folder: Path) -> None:
    (folder / "in" / "c.png").unlink()
    with pytest.raises(UserError, match=r"(?s)no pictures in in\n.*got: 1 \.nef"):
        find_inputs("in")


def test_one_rule_for_links(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "e.png").write_bytes(b"?")
    (folder / "link.png").symlink_to(elsewhere / "e.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "away").symlink_to(elsewhere)
    (folder / "ring").symlink_to(".")
    for where in (".", "**/*.*", "**"):
        found = find_inputs(where)
        assert found.names == ["a.png", "b.JPG", "in/c.png", "link.png", "loop.png"]
        assert found.faults == {"loop.png": "a link that leads nowhere"}
        assert found.left_out.get(FOLDER_LINKS, 0) == (0 if where == "**/*.*" else 2)
    # A link to a folder that is spelled out is followed.
    assert find_inputs("away/*.png").names == ["e.png"]
    (folder / "list.csv").write_text("image\nlink.png\naway/e.png\nloop.png\n../secret.png\n")
    found = find_inputs("list.csv")
    assert found.faults == {"loop.png": "missing", "../secret.png": "outside the image root"}
    assert found.path("away/e.png").samefile(elsewhere / "e.png")


def test_brackets_in_a_name_get_a_word(folder: Path) -> None:
    (folder / "shots [2024]").mkdir()
    (folder / "shots [2024]" / "a.png").write_bytes(b"?")
    with pytest.raises(UserError, match=r"brackets stand for one of the signs") as caught:
        find_inputs("shots [2024]/*.png")
    pattern = str(caught.value).rpartition("write '")[2].rstrip("'")
    assert find_inputs(pattern).names == ["shots [2024]/a.png"]
    assert find_inputs("shots [2024]").names == ["a.png"]


@pytest.mark.parametrize("where", ["/", "/*/*.png", "/**"])
def test_the_whole_file_system_is_refused_at_once(where: str) -> None:
    with pytest.raises(UserError, match="the whole file system"):
        find_inputs(where)


def test_a_table_is_read_as_training_reads_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "scores.csv").write_text("图片;分数\na.png;3,5\nb.jpg;2\n")
    with caplog.at_level(logging.WARNING):
        found = find_inputs("scores.csv")
    assert [found.path(name).name for name in found.names] == ["a.png", "b.JPG"]
    (record,) = caplog.records
    assert record.getMessage() == (
        "scores.csv: semicolon between columns, header in line 1, 2 rows, decimal commas in '分数' (3,5 is 3.5); "
        "pictures in '图片'"
    )


def test_names_with_folders_before_them_are_found_and_it_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "scores.csv").write_text("image\nD:\\set\\a.png\nD:\\set\\b.jpg\n")
    found = find_inputs("scores.csv")
    assert [found.path(name).name for name in found.names] == ["a.png", "b.JPG"]
    assert "names are read without 'D:\\set\\' before them" in caplog.text


def test_the_first_of_a_list_of_names_is_no_header(folder: Path) -> None:
    (folder / "list.txt").write_text("a\nb\n")
    assert find_inputs("list.txt").names == ["a", "b"]
    (folder / "list.txt").write_text("image\na\nb\n")
    assert find_inputs("list.txt").names == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("x,y\na.png,b.jpg\n", {}, r"(?s)x, y.*--column"),
        ("x,y\na.png,b.jpg\n", {"column": "z"}, r"(?s)no column 'z'.*x, y"),
        ("image\na.png\n", {"root": "/"}, r"--root is the whole file system"),
        ("image\na.png\n", {"root": "nowhere"}, r"--root is no folder"),
        ("image\nq/a.gif\n", {}, r"(?s)no picture of the table.*missing"),
        ('image,prompt\na.png,"x\nb.jpg,y"\n', {}, r"line 2: a quote opens here and swallows rows"),
    ],
)
def test_what_cannot_be_used_is_told(folder: Path, text: str, settings: dict, message: str) -> None:
    (folder / "scores.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        find_inputs("scores.csv", **settings)


def test_records_in_json_are_a_table(folder: Path) -> None:
    (folder / "t.jsonl").write_text('{"image": "a.png"}\n{"image": "b.jpg"}\n')
    assert [Path(name).name for name in find_inputs("t.jsonl").names] == ["a.png", "b.jpg"]


@pytest.mark.parametrize(("name", "said"), [("t.xls", "old Excel"), ("t.doc", "no known kind")])
def test_other_files_are_told_by_what_they_are(folder: Path, name: str, said: str) -> None:
    data = {"t.xls": b"\xd0\xcf\x11\xe0" + bytes(99), "t.doc": b"?"}[name]
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=said):
        find_inputs(name)
