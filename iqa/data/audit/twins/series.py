"""Names that tell a series, `clip_crf_03_height_0864` or `I01_01_1`: proposals, which the pictures must confirm.

A numbered set of different photographs has such names as well, so a series counts where its pictures are much more
alike than pictures of different series are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from iqa.data.audit.twins.likeness import coarse_detail, shades

#: A series holds at most this share of the pictures: what all have in common tells nothing.
MOST = 0.5
#: The best match that a picture has in its series is better than in this share of as many pictures of other series.
RARE = 0.99
#: Pictures that tell how alike different series are, and pictures of one that tell how alike it is, at most.
BETWEEN, ALL = 1000, 16
#: Words that, at the end of a name, say what was done to the picture; with or without a number.
DONE = re.compile(
    r"(blur|blurred|gauss|gaussian|noise|noisy|awgn|wn|gblur|fastfading|ff|jpeg|jpg|jp2k|jpeg2000|webp|avif|heic|hevc"
    r"|h26[45]|vp9|av1|crf|qp|q|quality|level|lvl|l|height|width|h|w|p|x|res|scale|size|bitrate|kbps|fps|frame|frm|f|t"
    r"|contrast|bright|brighten|dark|darken|saturation|gamma|exposure|ev|iso|dist|distorted|distortion|ref|reference"
    r"|orig|original|copy|edit|edited|crop|cropped|resized|small|large|low|mid|medium|high|hq|lq|sr|v|ver|version)"
)
#: What is compared of pictures.
PARTS = (coarse_detail, shades)
_PIECES = re.compile(r"\d+|[^\W\d_]+|[\W_]+")


def stems(name: str) -> list[str]:
    """What a picture's name may be called after, the longest first: it without the numbers and words at its end.

    The folder belongs to it: `clip/0001.png` is called after `clip/`.
    """
    folder, _, file = name.rpartition("/")
    parts = _PIECES.findall(file.rpartition(".")[0] or file)
    found = []
    while parts:
        while parts and not parts[-1].isalnum():
            parts.pop()
        if not parts or not (parts[-1].isdecimal() or DONE.fullmatch(parts[-1].casefold())):
            break
        parts.pop()
        stem = "".join(parts).rstrip(" _-.([{#").casefold()
        if stem or folder:
            found.append(f"{folder.casefold()}/{stem}" if folder else stem)
    return list(dict.fromkeys(found))


def series_pairs(names: Sequence[str], grey: np.ndarray, variants: np.ndarray) -> np.ndarray:
    """Pairs of pictures that link each confirmed series.

    Args:
        names: of the pictures, ascending.
        grey: uint8 [N, SIDE, SIDE], how they look.
        variants: int64 [P, 2], rows of pictures that their looks alone have joined.

    Returns:
        int64 [P, 2], rows; a series of n pictures gives n - 1 pairs, and one whose variants are all of it none.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        for stem in stems(name):
            members[stem].append(row)
    proposed = {stem: rows for stem, rows in members.items() if 1 < len(rows) <= MOST * len(names)}
    if not proposed:
        return np.empty((0, 2), np.int64)
    between = _between(grey, proposed)
    units, links = _Units(len(names)), []
    for first, second in variants.tolist():
        units.join(first, second)
    for rows in sorted(proposed.values(), key=lambda rows: (len(rows), rows)):
        if _confirmed(grey, rows, np.array([units.of(row) for row in rows]), between):
            links += [(rows[0], row) for row in rows[1:]]
            for row in rows[1:]:
                units.join(rows[0], row)
    return np.array(links, dtype=np.int64).reshape(-1, 2)


class _Units:
    """What belongs together so far."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def of(self, row: int) -> int:
        """The unit of a row: one and the same number for all that were joined."""
        while self._above[row] != row:
            self._above[row] = row = self._above[self._above[row]]
        return row

    def join(self, one: int, other: int) -> None:
        self._above[self.of(one)] = self.of(other)


def _between(grey: np.ndarray, proposed: dict[str, list[int]]) -> list[np.ndarray]:
    """How alike, in detail and in shades, pairs of pictures are that have no stem in common: each float32 [P]."""
    family = np.arange(len(grey))
    for rows in sorted(proposed.values(), key=len):  # the shortest stem of a picture has the most
        family[rows] = rows[0]
    some = np.random.default_rng(0).permutation(len(grey))[:BETWEEN]
    apart = family[some][:, None] < family[some][None]
    looks = [part(grey[some]) for part in PARTS]
    return [(seen @ seen.T)[apart] for seen in looks]


def _confirmed(grey: np.ndarray, rows: list[int], units: np.ndarray, between: list[np.ndarray]) -> bool:
    """Whether most pictures of a series have such a match in another unit of it as they would hardly have elsewhere.

    Not whether all are alike: what a camera shows at the end of a turn is not what it showed at the beginning.

    Args:
        units: of each row: what was found to belong together before, which tells nothing of the rest.
        between: see `_between`.
    """
    chosen = np.random.default_rng(0).permutation(len(rows))[:ALL]
    other = units[chosen][:, None] != units[chosen][None]
    if not other.any():
        return False
    rare = RARE ** (1 / other.sum(axis=1).max())
    for part, apart in zip(PARTS, between, strict=True):
        seen = part(grey[np.array(rows)[chosen]])
        best = np.where(other, seen @ seen.T, -1).max(axis=1)
        if len(apart) and np.median(best) > np.quantile(apart, rare):
            return True
    return False
