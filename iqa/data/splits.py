"""Who trains, who validates, who tests: whole contents at a time, the same for a seed whatever the row order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from iqa.data.manifest import SPLITS
from iqa.errors import UserError

log = logging.getLogger(__name__)

#: Share of the training pictures kept for validation where a set brings train and test alone.
VAL_SHARE = 0.1
#: Random orders of the groups that are tried; the one that meets the shares best is taken.
TRIES = 64
#: A draw is good enough with this share of the pictures in the wrong split.
TOLERANCE = 0.001
#: A correlation needs so many pictures, and a split that is drawn so many contents: one tells nothing of others.
LEAST = 2


def split_by_group(
    groups: Sequence[str] | np.ndarray,
    shares: Sequence[float],
    seed: int,
    names: Sequence[str] = SPLITS,
    least: int = 1,
) -> np.ndarray:
    """Draw a split for each picture so that groups stay whole and the shares, in pictures, are met closely.

    The draw depends on the seed and on which groups there are with how many pictures, not on their order.

    Args:
        groups: the group of each picture.
        shares: of each split, positive, summing to 1.
        names: of the splits.
        least: groups in each split, where there are enough.

    Returns:
        A name for each picture, as an array of objects.

    Raises:
        UserError: fewer groups than splits.
    """
    known, member, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if len(known) < len(names):
        raise UserError(
            f"too few contents to split into {', '.join(names)}",
            got=f"{len(known)} contents with {len(groups)} pictures",
            expected=f"at least {len(names)}: pictures of one content stay together",
            fix="name another column in data.columns.group, or set it to '' if each picture stands alone",
        )
    wanted = np.asarray(shares) * len(groups)
    rng = np.random.default_rng([seed, 20])
    each = min(least, len(known) // len(names))
    best, lowest = np.zeros(len(known), dtype=np.int64), np.inf
    for _ in range(TRIES):
        chosen = _deal(sizes, wanted, rng.permutation(len(known)), each)
        error = np.abs(np.bincount(chosen, sizes, minlength=len(names)) - wanted).sum()
        if error < lowest - 1e-9:
            best, lowest = chosen, error
        if lowest <= max(_rounding(wanted), TOLERANCE * len(groups)) + 1e-9:
            break
    return np.asarray(names, dtype=object)[best[member]]


def complete_split(table: pd.DataFrame, shares: Sequence[float], seed: int, least: int = 1) -> np.ndarray:
    """The split of each row: the set's own as far as it goes, else drawn.

    A set that names all three splits is taken as it is. Where validation is missing, a tenth of the training
    pictures is drawn for it; where the test is missing, its share of them. A set that names one split or none
    is drawn as a whole.

    Args:
        table: columns `image`, `group` ("": the row is a content of its own) and `split` ("": not named).
        shares: of train, val and test.
        least: contents in each split that is drawn, where there are enough.

    Raises:
        UserError: only some rows name a split or a group, none is for training, a group is in two splits, or
            there are too few groups.
    """
    refuse_partial_groups(table)
    content = contents(table)
    split = np.array(table["split"], dtype=object)
    named = set(split) - {""}
    if not named or (len(named) == 1 and "" not in split):
        return split_by_group(content, shares, seed, least=least)
    if "" in split:
        raise UserError(
            "only some rows name a split",
            got=f"{(split == '').sum()} of {len(split)} rows name none, such as {table['image'][split == ''].iloc[0]}",
            expected="a split in every row, or in none",
            fix="complete the column, or set data.columns.split to '' to draw the split by data.split_shares",
        )
    _refuse_crossing(content, split)
    if "train" not in named:
        raise UserError(
            "the set has no training pictures of its own",
            got=f"splits {', '.join(sorted(named))}",
            fix="set data.columns.split to '' to draw the split by data.split_shares",
        )
    for missing, share in (("val", VAL_SHARE), ("test", shares[2] / (shares[0] + shares[2]))):
        if missing not in named:
            train = split == "train"
            split[train] = split_by_group(content[train], (1 - share, share), seed, ("train", missing), least)
            count = int((split == missing).sum())
            log.info("the set has no %s split: %d of its training pictures are drawn for it", missing, count)
    return split


def redraw(content: np.ndarray, split: np.ndarray, seed: int) -> np.ndarray:
    """Training and validation drawn anew from the pictures of both, as large as before; the test stays untouched.

    Args:
        content: what must not be in two splits, for each picture.
        split: its split so far.

    Raises:
        UserError: fewer than two contents besides the test's.
    """
    drawn = np.array(split, dtype=object)
    learned = drawn != "test"
    share = float((drawn[learned] == "val").mean())
    drawn[learned] = split_by_group(content[learned], (1 - share, share), seed, ("train", "val"), LEAST)
    return drawn


def contents(table: pd.DataFrame) -> np.ndarray:
    """What must not be in two splits: the group of each row, else its picture."""
    group = table["group"].to_numpy(dtype=object)
    content: np.ndarray = np.where(group == "", table["image"].to_numpy(dtype=object), group)
    return content


def _rounding(wanted: np.ndarray) -> float:
    """How far whole pictures, summed over splits, must be from their shares at the least."""
    part = np.sort(wanted % 1)
    up = round(part.sum())
    return float(part[: len(part) - up].sum() + (1 - part[len(part) - up :]).sum())


def _deal(sizes: np.ndarray, wanted: np.ndarray, order: np.ndarray, least: int) -> np.ndarray:
    """Give each group, in turn, to the split that lacks most; the last ones go where there are fewer than `least`."""
    lacking = wanted.astype(np.float64)
    chosen = np.zeros(len(sizes), dtype=np.int64)
    owed = dict.fromkeys(range(len(wanted)), least)
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        open_to = [split for split, count in owed.items() if count] if left <= sum(owed.values()) else list(owed)
        split = max(open_to, key=lambda place: lacking[place])
        chosen[group] = split
        lacking[split] -= sizes[group]
        owed[split] = max(0, owed[split] - 1)
    return chosen


def refuse_partial_groups(table: pd.DataFrame, where: str = "the set") -> None:
    """Refuse groups in some rows alone: where cells were merged, rows without one belong to the group above.

    Raises:
        UserError: some rows name a group, and others none.
    """
    bare = (table["group"] == "").to_numpy()
    if bare.any() and not bare.all():
        raise UserError(
            f"only some rows of {where} name a group",
            got=f"{bare.sum()} of {len(bare)} rows name none, such as {table['image'][bare].iloc[0]}",
            expected="a group in every row, or in none: pictures of one group stay in one split",
            fix="complete the column (merged cells keep their value in the first row alone: table[column].ffill() in "
            "pandas fills the others), or set data.columns.group to '' if each picture stands alone",
        )


def refuse_few(table: pd.DataFrame) -> None:
    """Refuse to draw splits from so few contents that validation or test would be one of them.

    Args:
        table: as `complete_split` takes it.

    Raises:
        UserError: fewer contents than LEAST in each split that is drawn, and as many for training.
    """
    split = table["split"].to_numpy()
    named = set(split)
    whole = len(named) == 1
    drawn = [name for name in ("val", "test") if whole or (name not in named and "" not in named)]
    found = contents(table if whole else table[split == "train"])
    count, least = len(set(found)), LEAST * (1 + len(drawn))
    # Where the set names no training pictures there is another word on it.
    if drawn and len(found) and count < least:
        raise UserError(
            f"too few contents to draw {' and '.join(drawn)} from: {count}",
            got=f"{len(found)} pictures of {count} contents",
            expected=f"at least {least}, {LEAST} in each split: pictures of one content stay together, and one content "
            "tells nothing of others",
            fix="give more contents, or a split of your own (data.columns.split); where pictures of a content are not "
            "alike, set data.columns.group to '', or data.groups to none",
        )


def refuse_useless(split: np.ndarray, scores: np.ndarray) -> None:
    """Refuse splits that no epoch could be chosen, or no model be judged, on.

    Args:
        split: of each picture.
        scores: of each picture.

    Raises:
        UserError: validation or test have fewer than two pictures, or pictures that are all scored alike.
    """
    counts = ", ".join(f"{(split == name).sum()} {name}" for name in SPLITS)
    for name, what in (("val", "validation"), ("test", "test")):
        found = scores[split == name]
        if len(found) < LEAST:
            raise UserError(
                f"too few {what} pictures: {len(found)}, and a correlation needs {LEAST}",
                got=f"{len(split)} pictures: {counts}",
                expected=f"at least {LEAST} in validation and in test; below 30 or so figures mean little",
                fix="give more pictures, or larger data.split_shares such as [0.5, 0.25, 0.25], with "
                "data.columns.split '' where the set names splits itself",
            )
        if len(np.unique(found)) < 2:
            raise UserError(
                f"the {what} scores are all alike: nothing can be told from them",
                got=f"{len(found)} pictures with one and the same score, of {len(split)}: {counts}",
                expected="pictures of different quality in each split",
                fix="mend the set's split, or let one be drawn: data.columns.split '' and another data.split_seed; "
                "where most scores are alike, data.split_shares with more for this split",
            )


def _refuse_crossing(content: np.ndarray, split: np.ndarray) -> None:
    counts = pd.Series(split).groupby(content).nunique()
    crossing = counts.index[counts > 1]
    if len(crossing):
        found = sorted(set(split[content == crossing[0]]))
        raise UserError(
            f"{len(crossing)} groups of pictures are in two splits of the set",
            got=f"{crossing[0][:100]} in {' and '.join(found)}",
            expected="each group in one split: the test would be on known contents",
            fix="set data.columns.split to '' to draw the split by group, or data.columns.group to '' if the "
            "pictures of a group are not alike",
        )
