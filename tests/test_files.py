"""A file is whole or absent, at any instant."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import BinaryIO

import pytest

from iqa.errors import IqaError, UserError
from iqa.files import atomic_write, experiment_label, keep_aside, read_json, split_folder, write_json


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def half(file: BinaryIO) -> None:
        file.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "refusal",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file data/0"),
    ],
)
def test_a_full_disk_is_told_as_such(tmp_path: Path, refusal: Exception) -> None:
    def write(file: BinaryIO) -> None:
        raise refusal

    with pytest.raises(IqaError, match="No space left"):
        atomic_write(tmp_path / "a", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kept"), [("a.json", "a.2.json"), ("split.0", "split.0.2")])
def test_what_is_kept_aside_replaces_nothing(tmp_path: Path, name: str, kept: str) -> None:
    path = tmp_path / name
    path.mkdir() if kept.startswith("split") else path.touch()
    path.with_name(kept.replace("2", "1")).touch()
    assert keep_aside(path) == tmp_path / kept
    assert {each.name for each in tmp_path.iterdir()} == {kept, kept.replace("2", "1")}


def test_a_split_is_called_after_its_experiment() -> None:
    assert experiment_label(Path("experiments/mine")) == "mine"
    assert experiment_label(split_folder(Path("experiments/mine"), 3)) == "mine-split3"


def test_json_comes_back_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"质量": [1, None, 2.5]})
    assert read_json(path) == {"质量": [1, None, 2.5]}


def test_json_refuses_nan_rather_than_writing_what_no_reader_takes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"srcc": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
