"""Cells that should hold a rating and do not: counted by reason, and an error or a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from iqa.data.manifest import ScoreScale
from iqa.data.scored.cells import NOTHING, shown
from iqa.errors import UserError, some

#: Names that a line shows.
SHOWN = 3


@dataclass
class Faults:
    """Why ratings are none, with the place of each."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, places: Iterable[str]) -> None:
        if places := list(places):
            self.found.setdefault(reason, []).extend(places)

    def settle(self, on_error: str, where: object) -> list[str]:
        """What was left out, in words.

        Raises:
            UserError: there are faults and `on_error` is "fail".
        """
        said = [f"{len(places)} {reason}: {some(places, SHOWN)}" for reason, places in self.found.items()]
        if said and on_error == "fail":
            count = sum(map(len, self.found.values()))
            raise UserError(
                f"{count} rating{'s' * (count != 1)} of {where} cannot be used",
                got="; ".join(said),
                expected="numbers on the scale",
                fix="mend them, or set data.on_error to skip, which leaves them out",
            )
        return [f"LEFT OUT {'; '.join(said)}"] if said else []


def empty(cells: Sequence[str]) -> np.ndarray:
    """Which cells say that there is no rating."""
    return np.array([cell.casefold() in NOTHING for cell in cells], dtype=bool)


def add_no_numbers(faults: Faults, cells: Sequence[str], values: np.ndarray, place: Callable[[int], str]) -> int:
    """Add cells that hold something else than a number to the faults; how many are empty.

    Args:
        values: what is read from each cell, NaN where it is no number.
        place: where a cell is, in words.
    """
    bare = empty(cells)
    wrong = np.flatnonzero(~np.isfinite(values) & ~bare)
    faults.add("that are no numbers", (f"{shown(cells[row])!r} in {place(row)}" for row in wrong.tolist()))
    return int(bare.sum())


def on_scale(faults: Faults, values: np.ndarray, scale: ScoreScale, place: Callable[[int], str]) -> np.ndarray:
    """Which ratings are numbers on the scale; the other numbers are added to the faults."""
    known = np.isfinite(values)
    kept: np.ndarray = known & (values >= scale.low) & (values <= scale.high)
    beyond = np.flatnonzero(known & ~kept).tolist()
    reason = f"beyond the scale of {scale.low:g} to {scale.high:g}"
    faults.add(reason, (f"{values[row]:g} in {place(row)}" for row in beyond))
    return kept
