"""A file is whole or absent, at any instant."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from iqa.errors import IqaError, UserError
from iqa.files import (
    atomic_write,
    experiment_label,
    in_bytes,
    keep_aside,
    read_json,
    require_room,
    split_folder,
    write_json,
)


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


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(IqaError, match="No space left"):
        atomic_write(tmp_path / "a", write)
    assert list(tmp_path.iterdir()) == []


SAVE = """
import resource, sys
from pathlib import Path
import torch
from iqa.errors import IqaError
from iqa.training.checkpoints import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"weights": torch.zeros(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_checkpoint(path, {"weights": torch.zeros(int(sys.argv[2]))})
except IqaError as error:
    print(error)
print(len(torch.load(path)["weights"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are those of Unix")
@pytest.mark.parametrize("size", [12_300, 12_500, 100_000], ids=["at the end", "near the end", "at once"])
def test_a_disk_that_fills_up_in_a_checkpoint_names_it_and_keeps_the_one_before(tmp_path: Path, size: int) -> None:
    path = tmp_path / "last_model.pth"
    done = subprocess.run([sys.executable, "-c", SAVE, path, str(size)], capture_output=True, text=True, check=True)
    said, kept = done.stdout.rsplit("\n", 2)[0], int(done.stdout.split()[-1])
    assert said.startswith(f"cannot write {path}\n  got: File too large")
    assert kept == 10
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_fit_is_refused_before_it_is_begun(tmp_path: Path) -> None:
    place = tmp_path / "not" / "there"
    require_room(place, 1000, "a little", "none")
    with pytest.raises(UserError) as caught:
        require_room(place, 10**16, "all there is", "take less")
    assert "not enough room for all there is" in str(caught.value)
    assert "expected: 10000 TB" in str(caught.value)
    assert not place.parent.exists()


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (12_345, "12.3 kB"), (9_400_000_000, "9.4 GB")]
)
def test_bytes_are_said_as_people_say_them(size: int, said: str) -> None:
    assert in_bytes(size) == said


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
