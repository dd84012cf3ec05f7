"""What is said of pictures that belong together, in a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Said where nobody looked.
NOT_LOOKED = (
    "data.groups none: nobody looked whether pictures are variants of one; those in training and in test make figures "
    "too good; iqa audit finds them"
)
#: Said where looking found next to one content.
TOO_FEW = (
    "ALL PICTURES LOOK LIKE {} SCENES, too few to split by: they are split by picture, and figures tell little of "
    "other scenes; data.groups takes a file of groups"
)


def twins_told(names: Sequence[str], groups: np.ndarray, split: np.ndarray, *, drawn: bool) -> str:
    """How many pictures belong to others, and what that means for the split; "" where none does.

    Args:
        names: of the pictures.
        groups: a number for each.
        split: of each.
        drawn: whether the whole split was drawn by these groups; else the test is the set's own.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes[number] > 1)
    if not len(several):
        return ""
    pair = np.flatnonzero(number == number[several[0]])[:2]
    said = (
        f"{len(several)} of {len(names)} pictures are copies or variants of another, such as {names[pair[0]]} and "
        f"{names[pair[1]]}: "
    )
    if drawn:
        return said + f"split by {len(sizes)} groups"
    crossing, tested = in_training(groups, split)
    if not crossing:
        return said + "none of the test has a twin in training"
    return said + (
        f"{crossing} of {tested} TEST PICTURES HAVE A TWIN in training or validation, so that figures on the set's own "
        "split are too good; data.columns.split '' draws one by groups"
    )


def in_training(groups: np.ndarray, split: np.ndarray) -> tuple[int, int]:
    """How many test pictures have one of their group outside the test, and how many there are."""
    test = np.asarray(split == "test", dtype=bool)
    return int(np.isin(groups[test], groups[~test]).sum()), int(test.sum())
