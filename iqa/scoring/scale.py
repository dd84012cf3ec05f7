"""From what a model says to the scale that people scored on, and how far people's score may lie from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from iqa.calibration import IDENTITY
from iqa.conformal import Intervals, Said
from iqa.data.manifest import ScoreScale
from iqa.metrics import LogisticFit

#: Share of pictures that intervals hold for, where nothing is said.
COVERAGE = 0.9
#: Ends of the interval that holds people's score: as a share of their scale, higher is better; on their scale.
BOUNDS = ("low", "high", "calibrated_low", "calibrated_high")


@dataclass(frozen=True)
class Calibration:
    """From the model's own score to the scale that people scored on: it rises with the score and stays on the scale.

    Attributes:
        note: why scores are only stretched to the scale, "" where a mapping was found.
        intervals: around mapped scores; None where there are none, and `no_intervals` says why.
    """

    mapping: LogisticFit
    scale: ScoreScale
    note: str = ""
    intervals: Intervals | None = None
    no_intervals: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any], intervals: dict[str, Any] | None = None) -> Calibration:
        """Out of a checkpoint: parameters, linear, low, high, higher_is_better; and what intervals are made from.

        Raises:
            KeyError, TypeError, ValueError: they are of another shape.
        """
        mapping, note = LogisticFit.from_dict(values), str(values.get("note", ""))
        if not mapping.rises:  # as early versions could leave behind
            mapping, note = IDENTITY, "predictions do not rise with the validation scores"
        scale = ScoreScale(float(values["low"]), float(values["high"]), bool(values["higher_is_better"]))
        if not 0 < scale.high - scale.low < math.inf:
            raise ValueError(f"a scale from {scale.low} to {scale.high}")
        if intervals is None:
            return cls(mapping, scale, note, no_intervals="the model was trained without finding any")
        if intervals["note"]:
            return cls(mapping, scale, note, no_intervals=str(intervals["note"]))
        return cls(mapping, scale, note, Intervals.from_dict(intervals))

    def __call__(self, scores: pd.Series) -> pd.Series:
        return self.scale.from_unit(pd.Series(self.mapping(scores), index=scores.index).clip(0, 1))

    def bounds(self, said: Said, coverage: float) -> pd.DataFrame:
        """Columns BOUNDS for N pictures; NaN where there are no intervals, or no score.

        Args:
            said: with the model's own scores.
            coverage: share of pictures whose score by people is to lie between the bounds.

        Raises:
            UserError: a coverage that is none.
        """
        table = pd.DataFrame(np.nan, index=range(len(said.score)), columns=list(BOUNDS))
        known = np.isfinite(said.score)
        if self.intervals is None or not known.any():
            return table
        mapped = self.mapping(said.score[known]).clip(0, 1)
        low, high = self.intervals(Said(mapped, said.spread[known], said.responsibilities[known]), coverage)
        ends = [self.scale.from_unit(pd.Series(end)).to_numpy() for end in (low, high)]
        table.loc[known] = np.column_stack([low, high, np.minimum(*ends), np.maximum(*ends)])
        return table
