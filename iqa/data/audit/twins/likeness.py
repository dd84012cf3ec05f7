"""Which pictures are variants of one: recompressed, resized, distorted, cropped by a few per cent, or mirrored.

Two photographs of the same make, a sunset and another one, are alike in their large shades. What they differ in is
detail, so looks are compared after the mean of their neighbourhood is taken from each pixel. On photographs that people
scored, of pairs whose detail correlates above ALIKE nearly all show one thing, of those above .5 about half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import uniform_filter1d

from iqa.data.audit.twins.looks import SIDE

#: Correlation of detail from which on two pictures are variants of one.
ALIKE = 0.75
#: The same where one of them had to be cropped or mirrored for it: the best of many tries.
ALIKE_CHANGED = 0.85
#: Pairs below it are not looked at again, nor are mirror images where their even parts are below the second. Crops are
#: tried where large light and dark are as alike as the third: half of all tries find nothing for certain.
WORTH_A_LOOK, WORTH_A_MIRROR, WORTH_A_CROP = 0.4, 0.6, 0.55
#: So many neighbours of a picture are looked at again, the nearest ones.
NEIGHBOURS = 8
#: Side of the neighbourhood whose mean is taken from a pixel, and detail, in grey levels, below which there is none.
NEIGHBOURHOOD, LEAST_DETAIL = 9, 1.0
#: float32 [SIDE, SIDE] that takes the mean of each pixel's neighbourhood along a line.
_MEAN = uniform_filter1d(np.eye(SIDE, dtype=np.float32), NEIGHBOURHOOD, axis=0, mode="nearest")
#: Looks whose likeness to all others is held at one time.
BLOCK = 1024
#: Pairs that are cropped at one time: what is made of them stays in the processor's cache, in half the time.
PAIRS = 64
#: Shares of a side that a crop may have left, and where it may lie.
CROPS, PLACES = (0.97, 0.94, 0.91), (0.0, 0.5, 1.0)


def near_pairs(grey: np.ndarray) -> np.ndarray:
    """The pairs of pictures that are variants of one picture.

    Memory does not grow with the number of pairs; 10,000 pictures take seconds.

    Args:
        grey: uint8 [N, SIDE, SIDE], see `looks.Looks`.

    Returns:
        int64 [P, 2], rows of `grey`, the smaller one first.
    """
    found = [np.empty((0, 2), np.int64)]
    for pairs in _candidates(grey, coarse_detail, WORTH_A_LOOK):
        one, other = grey[pairs[:, 0]], grey[pairs[:, 1]]
        fine = np.einsum("pn,pn->p", detail(one), detail(other)) >= ALIKE
        lit_alike = np.einsum("pn,pn->p", shades(one), shades(other)) >= WORTH_A_CROP
        doubtful = np.flatnonzero(~fine & lit_alike)
        if len(doubtful):
            fine[doubtful] = cropped_likeness(one[doubtful], other[doubtful]) >= ALIKE_CHANGED
        found.append(pairs[fine])
    for pairs in _candidates(grey, even_detail, WORTH_A_MIRROR):
        fine = mirrored_likeness(grey[pairs[:, 0]], grey[pairs[:, 1]]) >= ALIKE_CHANGED
        found.append(pairs[fine])
    return np.unique(np.concatenate(found), axis=0)


def detail(grey: np.ndarray) -> np.ndarray:
    """What of looks is detail: float32 [N, SIDE * SIDE] of length 1, all 0 where there is none."""
    pixels = grey.astype(np.float32)
    fine = pixels - _MEAN @ pixels @ _MEAN.T
    return _unit(fine.reshape(len(grey), -1), LEAST_DETAIL)


def shades(grey: np.ndarray) -> np.ndarray:
    """Large light and dark of looks: float32 [N, 256] of length 1, all 0 where there is none."""
    return _unit(_halved(grey.astype(np.float32)), LEAST_DETAIL)


def cropped_likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How alike the detail of pairs is, one of them cropped as it fits best: float32 [P] in [-1, 1].

    Args:
        one, other: uint8 [P, SIDE, SIDE].
    """
    best = np.full(len(one), -1, dtype=np.float32)
    for start in range(0, len(one), PAIRS):
        these = slice(start, start + PAIRS)
        best[these] = np.maximum(
            _likeness_of_crops(one[these], other[these]), _likeness_of_crops(other[these], one[these])
        )
    return best


def _likeness_of_crops(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """How alike the detail of pictures is and that of the best crops of others: float32 [P]."""
    wanted, pixels = detail(part), whole.astype(np.float32)
    best = np.full(len(part), -1, dtype=np.float32)
    for share in CROPS:
        ways = [_resampling(share, place * (1 - share)) for place in PLACES]
        # All places at once, and their detail as `detail` would take it.
        cut, mean = np.concatenate(ways), np.concatenate([_MEAN @ way for way in ways])
        fine = cut @ (pixels @ cut.T) - mean @ (pixels @ mean.T)
        fine = fine.reshape(len(part), len(ways), SIDE, len(ways), SIDE).transpose(1, 3, 0, 2, 4)
        for crops in fine.reshape(len(ways) ** 2, len(part), SIDE * SIDE):
            best = np.maximum(best, np.einsum("pn,pn->p", _unit(crops, LEAST_DETAIL), wanted))
    return best


def mirrored_likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How alike the detail of pairs is, one of them mirrored as it fits best: float32 [P] in [-1, 1].

    Left is changed for right, top for bottom, or both.

    Args:
        one, other: uint8 [P, SIDE, SIDE].
    """
    wanted, fine = detail(one), detail(other).reshape(-1, SIDE, SIDE)
    mirrored = (fine[:, :, ::-1], fine[:, ::-1], fine[:, ::-1, ::-1])
    ways = [np.einsum("pn,pn->p", wanted, each.reshape(wanted.shape)) for each in mirrored]
    return np.max(ways, axis=0)  # type: ignore[no-any-return]


def even_detail(grey: np.ndarray) -> np.ndarray:
    """What the detail of a picture shares with all of its mirror images: float32 [N, 256] of length 1, or 0."""
    fine = detail(grey).reshape(-1, SIDE, SIDE)
    fine = fine + fine[:, :, ::-1]
    fine = (fine + fine[:, ::-1])[:, : SIDE // 2, : SIDE // 2]
    return _unit(fine.reshape(len(grey), -1))


def _candidates(grey: np.ndarray, of: Callable[[np.ndarray], np.ndarray], least: float) -> Iterator[np.ndarray]:
    """Pairs whose likeness in what `of` takes from them, [N, 256], is worth a look: int64 [P, 2], the smaller first."""
    coarse = np.empty((len(grey), SIDE * SIDE // 4), np.float32)
    for start in range(0, len(grey), BLOCK):
        coarse[start : start + BLOCK] = of(grey[start : start + BLOCK])
    for start in range(0, len(grey), BLOCK):
        ours = coarse[start : start + BLOCK]
        likeness = np.full((len(ours), NEIGHBOURS), -1, np.float32)
        nearest = np.zeros((len(ours), NEIGHBOURS), np.int64)
        for theirs in range(start, len(grey), BLOCK):
            alike = ours @ coarse[theirs : theirs + BLOCK].T
            if theirs == start:
                alike[np.tril_indices(len(ours))] = -1
            # Few pictures are like any other at all, and sorting takes longer than multiplying.
            some = np.flatnonzero(alike.max(axis=1) >= least)
            if len(some):
                likeness[some], nearest[some] = _nearest(likeness[some], nearest[some], alike[some], theirs)
        row, rank = np.nonzero(likeness >= least)
        if len(row):
            yield np.stack([row + start, nearest[row, rank]], axis=1)


def _nearest(likeness: np.ndarray, nearest: np.ndarray, alike: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The NEIGHBOURS most alike of those known, by likeness and row, and of new ones, whose rows begin at `start`."""
    likeness = np.concatenate([likeness, alike], axis=1)
    rows = np.arange(start, start + alike.shape[1])
    nearest = np.concatenate([nearest, np.broadcast_to(rows, alike.shape)], axis=1)
    chosen = np.argpartition(-likeness, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return np.take_along_axis(likeness, chosen, 1), np.take_along_axis(nearest, chosen, 1)


def coarse_detail(grey: np.ndarray) -> np.ndarray:
    """Detail at half the side, a quarter of the numbers to multiply: float32 [N, 256] of length 1, or 0."""
    return _unit(_halved(detail(grey).reshape(-1, SIDE, SIDE)))


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, [N, 256]."""
    half = SIDE // 2
    halved: np.ndarray = pixels.reshape(-1, half, 2, half, 2).mean((2, 4)).reshape(-1, half * half)
    return halved


def _unit(values: np.ndarray, least: float = 1e-9) -> np.ndarray:
    """Rows without their mean, of length 1, in place; those that spread by less than `least` become 0."""
    values -= values.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("pn,pn->p", values, values))
    length[length < least * np.sqrt(values.shape[1])] = np.inf
    values /= length[:, None]
    return values


def _resampling(share: float, start: float) -> np.ndarray:
    """float32 [SIDE, SIDE] that stretches a part of a line, from `start` on and `share` long, to its whole length."""
    places = (start + share * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
    weight = 1 - np.abs(places[:, None] - np.arange(SIDE)[None])
    matrix = np.clip(weight, 0, None)
    stretched: np.ndarray = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return stretched
