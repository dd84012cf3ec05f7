"""Pictures that are the same byte for byte: one content, however they are called."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from iqa.data.splits import contents

#: Bytes at the beginning, the middle and the end that tell most files of one size apart.
GLIMPSE = 4096


def find_copies(files: Sequence[str | Path]) -> np.ndarray:
    """A number for each file, the same for files with the same bytes: that of the first of them.

    Only files of one size are opened, and only those that are alike in three places are read as a whole.
    """
    return alike(
        len(files),
        lambda place: os.stat(files[place]).st_size or files[place],  # empty files are no pictures
        lambda place: _glimpse(files[place]),
        lambda place: _digest(files[place]),
    )


def alike(count: int, *keys: Callable[[int], object]) -> np.ndarray:
    """A number for each of 0 to count - 1, the same where all keys are; a key is asked where those before it agree."""
    groups: list[Sequence[int]] = [range(count)]
    for key in keys:
        groups = [found for places in groups for found in _by_key(places, key)]
    same = np.arange(count)
    for places in groups:
        same[list(places)] = places[0]
    return same


def join_contents(table: pd.DataFrame, same: np.ndarray) -> tuple[pd.DataFrame, str]:
    """The table with contents that share a file made one, so that they stay in one split; and what was done, in words.

    Where the set names splits itself, only contents of one split are joined; copies in two of them are told.

    Args:
        table: columns `image`, `group` and `split`.
        same: a number for each row, the same for rows whose files are.
    """
    counts = pd.Series(same).value_counts()
    several = counts[counts > 1]
    if several.empty:
        return table, ""
    split = table["split"].to_numpy(dtype=object)
    crossing = pd.Series(split).groupby(same).nunique()
    first, second = (table["image"].iloc[row] for row in np.flatnonzero(same == several.index[0])[:2])
    said = f"{int(several.sum())} pictures are copies of each other, such as {first} and {second}"
    if (crossing > 1).any():
        said += (
            f": {int((crossing > 1).sum())} pictures are in two splits of the set, so that figures on its "
            "test are too good; mend its splits, or set data.columns.split to ''"
        )
    else:
        said += ": they stay in one split"
    content = contents(table)
    linked: defaultdict[str, set[str]] = defaultdict(set)
    for _, rows in pd.Series(range(len(table))).groupby([split, same]):
        names = content[rows.to_numpy()]
        for name in names[1:]:
            linked[names[0]].add(name)
            linked[name].add(names[0])
    one = _least_of_each(linked)
    return table.assign(group=np.array([one.get(name, name) for name in content], dtype=object)), said


def _least_of_each(linked: dict[str, set[str]]) -> dict[str, str]:
    """For each name the least of those that links lead to."""
    found: dict[str, str] = {}
    for name in sorted(linked):
        waiting = [] if name in found else [name]
        while waiting:
            other = waiting.pop()
            if other not in found:
                found[other] = name
                waiting += linked[other]
    return found


def _by_key(places: Iterable[int], key: Callable[[int], object]) -> list[list[int]]:
    """The places that share a key with others, by key."""
    known: defaultdict[object, list[int]] = defaultdict(list)
    for place in places:
        known[key(place)].append(place)
    return [found for found in known.values() if len(found) > 1]


def _glimpse(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        parts = []
        for place in (0, size // 2, max(0, size - GLIMPSE)):
            file.seek(place)
            parts.append(file.read(GLIMPSE))
    return hashlib.blake2b(b"".join(parts)).digest()


def _digest(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
