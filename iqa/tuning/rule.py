"""Which settings are as good as the best: a rule that knows how much chance can do.

The highest of several noisy means is seldom the best setting. Settings are measured on the same splits and seeds;
what differs by less than the honest significant difference (Tukey, 1949: the studentised range) is not told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Chance of calling settings different that are not.
ALPHA = 0.05
#: Degrees of freedom that a median of variances is worth, as a share of those of their mean.
MEDIAN_WORTH = 0.5


@dataclass(frozen=True)
class Comparison:
    """Settings measured on the same splits.

    Attributes:
        means: [A], higher is better; -inf for a setting that failed on some split.
        spreads: standard deviation over splits [A], NaN for a setting that failed.
        margin: the difference of two means that chance exceeds among all pairs with probability ALPHA.
        good: [A], within the margin of the best.
    """

    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    margin: float
    good: NDArray[np.bool_]

    @property
    def best(self) -> int:
        return int(np.argmax(self.means))

    @property
    def no_difference(self) -> bool:
        """Whether nothing measured tells any two settings apart."""
        return bool(self.good.all())


def compare(figures: Sequence[Sequence[float | None]]) -> Comparison:
    """Compare A settings by their figures on S splits, [A][S]; None where a training failed.

    Noise is what is left of the figures without the effects of settings and of splits, and its size the median over
    settings: one setting that trains badly, and differently each time, must not hide differences among the others.

    Raises:
        ValueError: fewer than 2 splits.
    """
    table = np.array([[np.nan if x is None else x for x in row] for row in figures], dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"a comparison needs at least 2 splits, got a table of shape {table.shape}")
    whole = np.isfinite(table).all(axis=1)
    means = np.full(len(table), -np.inf)
    means[whole] = table[whole].mean(axis=1)
    spreads = np.full(len(table), np.nan)
    spreads[whole] = table[whole].std(axis=1, ddof=1)
    margin = _margin(table[whole]) if whole.sum() > 1 else 0.0
    return Comparison(means, spreads, margin, whole & (means >= means.max() - margin))


def stretch(comparison: Comparison) -> tuple[int, int]:
    """First and last of the settings around the best that are all good, for settings in order of size."""
    first = last = comparison.best
    while first > 0 and comparison.good[first - 1]:
        first -= 1
    while last + 1 < len(comparison.good) and comparison.good[last + 1]:
        last += 1
    return first, last


def _margin(table: NDArray[np.float64]) -> float:
    """The honest significant difference of means over the columns of [A, S]."""
    settings, splits = table.shape
    centred = table - table.mean(axis=1, keepdims=True)
    noise = centred - np.median(centred, axis=0)
    degrees = splits - 1
    # The median of chi-square over its degrees of freedom (Wilson and Hilferty, 1931).
    variance = np.median((noise**2).sum(axis=1) / degrees) / (1 - 2 / (9 * degrees)) ** 3
    # Taking out the splits' effect took its share of the noise with it.
    variance *= settings / (settings - 1)
    worth = max(2.0, MEDIAN_WORTH * (settings - 1) * degrees)
    return float(_quantile(settings, worth) * np.sqrt(variance / splits))


@cache
def _quantile(settings: int, degrees: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - ALPHA, settings, degrees))
