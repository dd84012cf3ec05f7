"""Files that are the same byte for byte are one content, whatever they are called."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iqa.data.audit.twins.copies import GLIMPSE, find_copies, join_contents


def files(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in contents]


def table(groups: str, splits: list[str] | None = None) -> pd.DataFrame:
    names = [f"{number}.png" for number in range(len(groups))]
    group = ["" if name == "-" else name for name in groups]
    return pd.DataFrame({"image": names, "group": group, "split": splits or [""] * len(groups)})


def test_copies_are_told_by_all_their_bytes(tmp_path: Path) -> None:
    long = bytes(100 * GLIMPSE)
    unlike = bytearray(long)
    unlike[20 * GLIMPSE] = 1
    found = find_copies(
        files(
            tmp_path,
            {"a": b"one", "b": b"two", "c": b"one", "d": long, "e": bytes(unlike), "f": long, "g": b"", "h": b""},
        )
    )
    assert found.tolist() == [0, 1, 0, 3, 4, 3, 6, 7]


def test_files_of_different_sizes_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = files(tmp_path, {str(size): bytes(size) for size in range(1, 20)})
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened"))
    monkeypatch.setattr(builtins, "open", lambda *_: pytest.fail("opened"))
    assert find_copies(made).tolist() == list(range(19))


def test_without_copies_nothing_changes() -> None:
    before = table("--a")
    after, said = join_contents(before, np.arange(3))
    assert (after is before, said) == (True, "")


def test_groups_that_share_a_picture_become_one() -> None:
    joined, said = join_contents(table("aabbccdd"), np.array([0, 1, 1, 3, 4, 5, 3, 7]))
    # a and b share a picture, b and d another.
    assert joined["group"].tolist() == list("aaaaccaa")
    assert "4 pictures are copies of each other, such as 1.png and 2.png: they stay in one split" in said


def test_pictures_without_groups_take_the_name_of_the_first() -> None:
    joined, _ = join_contents(table("----"), np.array([0, 1, 0, 1]))
    assert joined["group"].tolist() == ["0.png", "1.png", "0.png", "1.png"]


def test_a_set_s_own_splits_are_kept_and_told() -> None:
    joined, said = join_contents(table("----", ["train", "test", "train", "test"]), np.array([0, 0, 2, 2]))
    assert joined["group"].tolist() == ["0.png", "1.png", "2.png", "3.png"]
    assert "2 pictures are in two splits of the set" in said
