"""How far mean opinion scores can be trusted, and what that leaves for a model to reach.

Classical test theory (Spearman, "The proof and measurement of association between two things", American Journal of
Psychology 15, 1904; Lord and Novick, "Statistical theories of mental test scores", 1968): a mean score is a true one
plus noise. Its reliability rho is the share of its variance that is true, and

- two means of half of the ratings each correlate by rho', which gives rho = k rho' / (1 + (k - 1) rho') for k times as
  many ratings (Spearman, "Correlation calculated from faulty data", and Brown, both British Journal of Psychology 3,
  1910);
- the mean scores correlate with the true ones by sqrt(rho), and so with no prediction by more, if its errors have
  nothing to do with the raters': the ceiling.

This holds for Pearson's correlation, and for Spearman's as nearly as the ratings tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa.data.scored.ratings.rated import Ratings
from iqa.metrics import srcc
from iqa.progress import progress_bar

#: Halves that are drawn, and pictures with two ratings or more that they need.
HALVES, LEAST_PICTURES = 100, 10
#: Share of all possible ratings from which on raters are halved, else the ratings of each picture.
COMPLETE = 0.9
#: Pairs of pictures that show the same which tell something of the noise.
LEAST_PAIRS = 30
#: Ends of the interval of what the halves tell.
TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Reliability:
    """What halves of the ratings tell.

    Attributes:
        halves: mean SRCC between the mean scores of two halves.
        reliability: of the mean of all ratings, by Spearman and Brown.
        low, high: where 95 % of the drawn halves put the reliability.
        ceiling: the square root of the reliability.
        pictures: with two ratings or more, which tell it.
        way: what was halved, "raters" or "ratings".
    """

    halves: float
    reliability: float
    low: float
    high: float
    ceiling: float
    pictures: int
    way: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def reliability(
    ratings: Ratings, *, draws: int = HALVES, seed: int = 0, progress: bool | None = False
) -> Reliability | None:
    """Halve the ratings at random, again and again, and correlate the means of both halves.

    Where nearly all raters rated all pictures, the raters are halved: who is strict is so in one half for all pictures,
    and that is no noise. Else the ratings of each picture are.

    Args:
        draws: halves.
        seed: makes them reproducible.
        progress: as `progress_bar` takes it.

    Returns:
        None with fewer than LEAST_PICTURES pictures of two ratings or more, or if all means are alike.
    """
    # Of pictures with one rating a half is empty.
    rated = ratings.of_pictures(np.flatnonzero(ratings.counts > 1))
    if rated.pictures < LEAST_PICTURES:
        return None
    way = "raters" if len(rated.value) >= COMPLETE * rated.pictures * max(1, len(rated.raters)) > 0 else "ratings"
    way = way if rated.raters else "ratings"
    rng = np.random.default_rng(seed)
    found, whole = [], []
    for _ in progress_bar(
        range(draws), total=draws, desc="halving ratings", unit="halves", leave=False, shown=progress
    ):
        half = _half_of_raters(rated, rng) if way == "raters" else _half_of_ratings(rated, rng)
        sums = [np.bincount(rated.picture[half == side], rated.value[half == side], rated.pictures) for side in (0, 1)]
        sizes = [np.bincount(rated.picture[half == side], minlength=rated.pictures) for side in (0, 1)]
        both = (sizes[0] > 0) & (sizes[1] > 0)
        if both.sum() < 2:
            continue
        value = srcc(sums[0][both] / sizes[0][both], sums[1][both] / sizes[1][both])
        # Unequal halves tell as much as two of their harmonic mean.
        length = (2 / (1 / sizes[0][both] + 1 / sizes[1][both])).mean()
        found.append(value)
        whole.append(spearman_brown(value, float(rated.counts[both].mean() / length)))
    if not found or not np.isfinite(whole).all():
        return None
    mean = float(np.mean(whole))
    low, high = (float(np.quantile(whole, tail)) for tail in TAILS)
    return Reliability(float(np.mean(found)), mean, low, high, ceiling_of(mean), rated.pictures, way)


def spearman_brown(correlation: float, times: float = 2.0) -> float:
    """The reliability of `times` as many ratings, from that of some: k r / (1 + (k - 1) r)."""
    return times * correlation / max(1e-9, 1 + (times - 1) * correlation)


def ceiling_of(reliability: float) -> float:
    """The correlation of scores of this reliability with the true ones, which no model can honestly exceed."""
    return float(np.sqrt(np.clip(reliability, 0, 1)))


@dataclass(frozen=True)
class TwinNoise:
    """What pictures that show the same and are scored apart tell.

    Attributes:
        pairs: how many, no picture in two of them.
        noise: standard deviation of the error of a score, sqrt(mean of the squared differences / 2).
        reliability: share of the scores' variance that is not noise.
        ceiling: its square root.
    """

    pairs: int
    noise: float
    reliability: float
    ceiling: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def noise_of_twins(scores: NDArray[np.float64], pairs: np.ndarray) -> TwinNoise | None:
    """The noise of scores by pictures that show the same: of both errors together a difference has the variance.

    Whatever twins truly differ in counts as noise here, so that the ceiling is at least this high.

    Args:
        scores: float64 [N].
        pairs: int64 [P, 2], no picture twice.

    Returns:
        None for fewer than LEAST_PAIRS pairs, and for scores that do not differ.
    """
    if len(pairs) < LEAST_PAIRS or np.ptp(scores) == 0:
        return None
    gaps = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    noise = float((gaps**2).mean() / 2)
    share = float(np.clip(1 - noise / scores.var(), 0, 1))
    return TwinNoise(len(pairs), float(np.sqrt(noise)), share, ceiling_of(share))


def _half_of_raters(ratings: Ratings, rng: np.random.Generator) -> np.ndarray:
    """0, 1 or -1 for each rating: the side its rater is on; with an odd number of raters one is on none."""
    sides = np.full(len(ratings.raters), -1)
    order = rng.permutation(len(sides))
    half = len(sides) // 2
    sides[order[:half]], sides[order[half : 2 * half]] = 0, 1
    found: np.ndarray = sides[ratings.rater]
    return found


def _half_of_ratings(ratings: Ratings, rng: np.random.Generator) -> np.ndarray:
    """0, 1 or -1 for each rating, as many of each picture on both sides; of an odd number one is on none."""
    order = np.argsort(ratings.picture + rng.random(len(ratings.picture)))
    counts = ratings.counts
    first = np.repeat(counts.cumsum() - counts, counts)
    rank, half = np.arange(len(order)) - first, np.repeat(counts // 2, counts)
    side = np.empty(len(order), dtype=np.int64)
    side[order] = np.where(rank < half, 0, np.where(rank < 2 * half, 1, -1))
    return side
