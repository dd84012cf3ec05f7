"""From links between pictures to groups that must not cross splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from iqa.data.audit.twins.links import Links
from iqa.errors import UserError, some

#: Names of the columns of a file of groups.
IMAGE, GROUP = "image", "group"


def group_by(names: Sequence[str], same: np.ndarray, links: Links) -> np.ndarray:
    """A number for each picture, the same for copies, variants and series of one: that of the first of them.

    Args:
        names: of the pictures, in any order; which ones come together does not depend on it.
        same: a number for each, the same for the same bytes.
        links: between the same pictures.

    Returns:
        int64 [N].
    """
    place = {name: number for number, name in enumerate(names)}
    order = np.array([place[name] for name in links.names], dtype=np.int64)
    return linked(len(names), pairs_of(same), order[links.variants], order[links.series])


def linked(count: int, *pairs: np.ndarray) -> np.ndarray:
    """A number for each of 0 to count - 1, that of the first to which pairs lead; int64 [count]."""
    links = np.concatenate([np.empty((0, 2), np.int64), *pairs])
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    number: np.ndarray = first[part].astype(np.int64)
    return number


def pairs_of(same: np.ndarray) -> np.ndarray:
    """The pairs that lead back to such numbers: each picture with the first of its group; int64 [P, 2]."""
    later = np.flatnonzero(same != np.arange(len(same)))
    return np.stack([same[later], later], axis=1).astype(np.int64)


def groups_from_file(path: Path, names: Sequence[str]) -> np.ndarray:
    """The groups that a CSV file with the columns `image` and `group` gives, as `linked` numbers them.

    Args:
        names: of the pictures, each of which the file must have; it may have others.

    Raises:
        UserError: no file, no such columns, a picture without a group or with two.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"data.groups: {path} cannot be read",
            got=error,
            expected=f"auto, none, or a CSV file with the columns {IMAGE} and {GROUP}",
            fix="iqa audit writes one",
        ) from error
    missing = [column for column in (IMAGE, GROUP) if column not in table]
    if missing:
        raise UserError(
            f"data.groups: {path} lacks columns",
            got=", ".join(map(str, table.columns)),
            expected=f"{IMAGE} and {GROUP}",
        )
    given = table[table[GROUP] != ""].drop_duplicates([IMAGE, GROUP])
    if (twice := given[IMAGE][given[IMAGE].duplicated()]).any():
        raise UserError(f"data.groups: {path} has pictures in two groups", got=some(twice.tolist()))
    group = dict(zip(given[IMAGE], given[GROUP], strict=True))
    without = [name for name in names if name not in group]
    if without:
        raise UserError(
            f"data.groups: {path} lacks groups of {len(without)} of {len(names)} pictures",
            got=some(without),
            expected="a group for each picture of the set; one that stands alone has a group of its own",
        )
    first: dict[str, int] = {}
    return np.array([first.setdefault(group[name], number) for number, name in enumerate(names)], dtype=np.int64)


def groups_to_csv(names: Sequence[str], groups: np.ndarray) -> str:
    """What `groups_from_file` reads: each picture with the first name of its group, groups together."""
    table = pd.DataFrame({IMAGE: list(names), GROUP: groups})
    table[GROUP] = table.groupby(GROUP)[IMAGE].transform("min")
    return str(table.sort_values([GROUP, IMAGE]).to_csv(index=False, lineterminator="\n"))
