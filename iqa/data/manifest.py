"""The table behind a set of pictures: one row each, with its content, split, distortion and score."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from iqa.data.distortions import KINDS, LEVELS, PRISTINE
from iqa.errors import UserError

SPLITS = ("train", "val", "test")
#: image: the clean picture, such as "astronaut#3" (its fourth crop) or "cifar10/train/123".
#: content: the photograph it comes from, the group that never crosses splits.
#: subset: a part of the set that results are also given for, or "".
#: kind, level: the distortion, 1..5 (level 0 for an untouched picture); "" and 0 where none is known.
#: score: in [0, 1], higher is better. seed: of the distortion's randomness, 0 where there is none.
COLUMNS = ("image", "content", "split", "subset", "kind", "level", "score", "seed")
TYPES = {"level": "int64", "score": "float32", "seed": "int64"}


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


def typed(manifest: pd.DataFrame) -> pd.DataFrame:
    """The columns in their order and types."""
    text = {column: "object" for column in COLUMNS if column not in TYPES}
    return manifest[list(COLUMNS)].astype(text | TYPES)


def validate(manifest: pd.DataFrame, *, scored: bool = True) -> None:
    """Check that a manifest is complete, that its values are possible and that no content crosses splits.

    Raises:
        UserError: naming the column and the first offending value.
    """
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise UserError("a manifest lacks columns", got=list(manifest.columns), expected=list(COLUMNS))
    if manifest.empty:
        raise UserError("a manifest has no rows", expected="at least one picture")
    _refuse(manifest, "split", ~manifest["split"].isin(SPLITS), f"one of {SPLITS}")
    _refuse(manifest, "kind", ~manifest["kind"].isin(["", PRISTINE, *KINDS]), "'', 'pristine' or a known distortion")
    undistorted = manifest["kind"].isin(["", PRISTINE])
    fits = np.where(undistorted, manifest["level"] == 0, manifest["level"].isin(LEVELS))
    _refuse(manifest, "level", ~fits, "0 for pictures without a distortion, else 1 to 5")
    if scored:
        _refuse(manifest, "score", ~manifest["score"].between(0, 1), "a number in [0, 1]")
    _refuse_two(manifest, "image", "content", "an image belongs to one content")
    _refuse_two(manifest, "content", "split", "no content in two splits: the test would be on known pictures")


def digest(manifest: pd.DataFrame) -> str:
    """SHA-256 (hex) of the manifest's values in their order."""
    return hashlib.sha256(to_csv(manifest)).hexdigest()


def to_csv(manifest: pd.DataFrame) -> bytes:
    """The manifest as CSV that reads back to the same values."""
    return str(manifest[list(COLUMNS)].to_csv(index=False, lineterminator="\n")).encode()


def from_csv(path: Path) -> pd.DataFrame:
    """What `to_csv` wrote: pictures called 007 or NA keep their names."""
    text = {column: str for column in COLUMNS if column not in TYPES}
    return typed(pd.read_csv(path, dtype=text, keep_default_na=False))


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
        turn, place = divmod(distorted, len(KINDS))
        if turn % len(LEVELS) == 0 and place == 0:
            order = [str(kind) for kind in rng.permutation(sorted(KINDS))]
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
        needs_colour = some_have_colour and kind != PRISTINE and KINDS[kind].group == "color"
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


def _refuse(manifest: pd.DataFrame, column: str, wrong: object, expected: str) -> None:
    rows = manifest[np.asarray(wrong, dtype=bool)]
    if len(rows):
        raise UserError(
            f"column '{column}' of a manifest has {len(rows)} impossible values",
            got=f"{rows[column].iloc[0]!r} for {rows['image'].iloc[0]}",
            expected=expected,
        )


def _refuse_two(manifest: pd.DataFrame, member: str, group: str, rule: str) -> None:
    counts = manifest.groupby(member)[group].nunique()
    crossing = counts[counts > 1]
    if len(crossing):
        name = crossing.index[0]
        found = sorted(manifest.loc[manifest[member] == name, group].unique())
        raise UserError(
            f"{len(crossing)} times a {member} has several values of '{group}'",
            got=f"{name}: {found}",
            expected=rule,
        )
