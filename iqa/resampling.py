"""Which pictures each resample of a bootstrap holds: whole groups are drawn, with replacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iqa.errors import UserError

#: Two groups can be drawn in three ways only, three in ten.
MIN_GROUPS = 3


def resampled_rows(n: int, groups: ArrayLike | None, samples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """The rows of each resample of n pictures, whole groups [n] at a time; none with fewer than MIN_GROUPS groups."""
    members = _members(n, groups)
    random = np.random.default_rng(seed)
    for _ in range(samples if len(members) >= MIN_GROUPS else 0):
        yield np.concatenate([members[group] for group in random.integers(len(members), size=len(members))])


def _members(n: int, groups: ArrayLike | None) -> list[NDArray[np.intp]]:
    """The rows of each group; every row is its own group where there are none."""
    if groups is None:
        return list(np.arange(n)[:, None])
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise UserError("one group per picture is needed", got=f"shape {labels.shape}", expected=f"({n},)")
    _, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
