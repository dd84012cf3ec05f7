"""Which clean picture is distorted how: kinds, levels and contents in balance, and a seed for every sample."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from iqa.data.manifest import DISTORTIONS, LEVELS, PRISTINE, SPLITS, typed, validate
from iqa.errors import UserError


def plan_distortions(
    contents: Mapping[str, Sequence[str]],
    samples: Mapping[str, int],
    pristine_share: float,
    seed: int,
    *,
    crops: bool = False,
    colourless: Collection[str] = (),
) -> pd.DataFrame:
    """Choose a clean picture, a distortion and a seed for every sample; scores come later (NaN until then).

    In each split the counts of kinds, of levels and of their 125 pairs each differ by one at most, and so do
    the uses of its contents (a little more where `colourless` ones are kept from distortions of colour).
    Asking for more samples with the same seed keeps the first ones as they are.

    Args:
        contents: names of the clean photographs of each split, disjoint between splits.
        samples: number of rows of each split.
        pristine_share: share of rows left untouched, in [0, 1].
        seed: of every choice made here.
        crops: the n-th use of a content is its n-th crop, "content#n"; else all uses are the same picture.
        colourless: contents without colour, on which a distortion of colour would change nothing.

    Raises:
        UserError: a split has samples to fill and no content, or a content is in two splits.
    """
    parts = []
    for number, split in enumerate(SPLITS):
        count = samples[split]
        if not count:
            continue
        if not contents[split]:
            raise UserError(f"no clean pictures for the {split} split", got=f"{count} samples to make")
        cells = _cells(count, pristine_share, np.random.default_rng([seed, number, 0]))
        chosen = _assign(cells, contents[split], colourless, np.random.default_rng([seed, number, 1]))
        part = pd.DataFrame(cells, columns=["kind", "level"])
        part["content"] = chosen
        use = part.groupby("content").cumcount().astype(str)
        part["image"] = part["content"] + "#" + use if crops else part["content"]
        part["split"] = split
        part["subset"] = ""
        part["score"] = np.nan
        part["seed"] = np.random.default_rng([seed, number, 2]).integers(2**31, size=count)
        parts.append(part)
    manifest = typed(pd.concat(parts, ignore_index=True))
    validate(manifest, scored=False)
    return manifest


def _cells(count: int, pristine_share: float, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Kind and level of each row, balanced in every prefix.

    Five rounds of all kinds hold each pair once: a kind's place in the round shifts its level, so that five
    neighbours have the five levels and a kind meets all of them in five rounds.
    """
    cells: list[tuple[str, int]] = []
    distorted = 0
    order: list[str] = []
    for row in range(count):
        if int((row + 1) * pristine_share + 0.5) > int(row * pristine_share + 0.5):
            cells.append((PRISTINE, 0))
            continue
        turn, place = divmod(distorted, len(DISTORTIONS))
        if turn % len(LEVELS) == 0 and place == 0:
            order = [str(kind) for kind in rng.permutation(sorted(DISTORTIONS))]
        cells.append((order[place], LEVELS[(place + turn) % len(LEVELS)]))
        distorted += 1
    return cells


def _assign(
    cells: Sequence[tuple[str, int]],
    contents: Sequence[str],
    colourless: Collection[str],
    rng: np.random.Generator,
) -> list[str]:
    """A content for every row: all of them in random order, then all again in another order, and so on."""
    queue: deque[str] = deque()
    chosen: list[str] = []
    some_have_colour = any(content not in colourless for content in contents)
    for kind, _ in cells:
        needs_colour = some_have_colour and kind != PRISTINE and DISTORTIONS[kind] == "color"
        refused = colourless if needs_colour else ()
        place = _first(queue, refused)
        while place is None:
            queue.extend(contents[i] for i in rng.permutation(len(contents)))
            place = _first(queue, refused)
        chosen.append(queue[place])
        del queue[place]
    return chosen


def _first(queue: deque[str], refused: Collection[str]) -> int | None:
    return next((place for place, content in enumerate(queue) if content not in refused), None)
