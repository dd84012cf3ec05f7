"""Raters who did not rate as the others did: the two tests of the ITU, and who may be judged by them at all.

- Recommendation ITU-R BT.500 ("Methodologies for the subjective assessment of the quality of television images"),
  screening of the observers: how often a rater is far above and far below the others. Made for laboratories, where at
  least 15 people rate every picture. By its letter it rejects up to every ninth of raters who are all alike: 4.6 % of
  normal ratings are beyond two deviations, and 5 % is too much. So here it must also be more than chance.
- Recommendations ITU-T P.913 and P.910, screening of subjects by Pearson correlation: how well a rater's scores follow
  the mean. Their bound of .75 belongs to laboratories, too; raters of a crowd all fall below it. Here a rater must also
  follow the others much less than raters usually do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from iqa.data.scored.ratings.rated import Ratings

#: BT.500: ratings of a picture that tell how the others rate, and from which it is judged by.
LEAST_RATINGS = 15
#: Pictures that a rater must have rated to be judged: of fewer, one strange rating would be too much.
LEAST_PICTURES = 20
#: BT.500: kurtosis of ratings that are taken for normal; how far from the mean is far then, in standard deviations,
#: and otherwise.
NORMAL, FAR, FAR_OTHERWISE = (2.0, 4.0), 2.0, float(np.sqrt(20))
#: BT.500: share of far ratings that is too much; and how one-sided they are where a rater is strict or kind alone.
STRANGE, ONE_SIDED = 0.05, 0.3
#: Probability that chance makes any of the raters that strange who is not.
CHANCE = 0.01
#: P.913: correlation with the others that is enough in any case.
ENOUGH = 0.75
#: How many usual deviations below the usual correlation a rater stands out.
OUTSTANDING = 3.0


@dataclass(frozen=True)
class Judged:
    """What the two tests say of each rater.

    Attributes:
        names: of the raters.
        ratings: int64, how many each gave.
        far: float64, BT.500's (P + Q) / n, the share of far ratings; NaN where that test is not applicable.
        one_sided: float64, BT.500's |P - Q| / (P + Q); NaN where nothing is far.
        correlation: float64, with the mean of the others; NaN where it is not defined or told by too few.
        rejected: why each is rejected, in words; "" for who is not.
    """

    names: tuple[str, ...]
    ratings: np.ndarray
    far: np.ndarray
    one_sided: np.ndarray
    correlation: np.ndarray
    rejected: list[str]

    @property
    def out(self) -> np.ndarray:
        """Places of the rejected raters."""
        return np.flatnonzero([reason != "" for reason in self.rejected])

    @property
    def judged(self) -> int:
        """How many raters at least one test could judge."""
        return int((np.isfinite(self.far) | np.isfinite(self.correlation)).sum())


def judge(ratings: Ratings) -> Judged:
    """Both tests on all raters; no rater at all where nobody knows who rated."""
    far, one_sided, rated = outliers(ratings)
    chance = binom.sf(np.rint(far * rated) - 1, rated, STRANGE) * max(1, np.isfinite(far).sum())
    correlation = agreement(ratings)
    odd = strangers(correlation, ratings.by_rater)
    reasons = []
    for place in range(len(ratings.raters)):
        said = []
        if far[place] > STRANGE and one_sided[place] < ONE_SIDED and chance[place] < CHANCE:
            said.append(f"ITU-R BT.500: {far[place]:.0%} of the ratings are far off, above and below")
        if odd[place]:
            said.append(f"ITU-T P.913: correlation {round(correlation[place], 2) + 0:.2f} with the others")
        reasons.append("; ".join(said))
    return Judged(ratings.raters, ratings.by_rater, far, one_sided, correlation, reasons)


def outliers(ratings: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.500's two figures of each rater, (P + Q) / n and |P - Q| / (P + Q), and n.

    For each picture the mean u, the standard deviation S and the kurtosis b2 = m4 / m2^2 of its ratings are taken. P
    counts ratings of at least u + 2 S and Q those of at most u - 2 S, for b2 from 2 to 4, else with sqrt(20) for 2.

    Returns:
        float64 [raters] each. The first is NaN for raters of fewer than LEAST_PICTURES pictures with LEAST_RATINGS
        ratings or more; the second where nothing is far. The third counts these pictures.
    """
    counts, raters = ratings.counts, len(ratings.raters)
    if not raters:
        return np.empty(0), np.empty(0), np.empty(0)
    rows = counts[ratings.picture] >= LEAST_RATINGS
    picture, rater = ratings.picture[rows], ratings.rater[rows]
    gap = ratings.value[rows] - ratings.means()[picture]
    second, fourth = (np.bincount(picture, gap**power, ratings.pictures) for power in (2, 4))
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis = fourth * counts / second**2
        spread = np.sqrt(second / (counts - 1))
    normal = (kurtosis >= NORMAL[0]) & (kurtosis <= NORMAL[1])
    bound = (np.where(normal, FAR, FAR_OTHERWISE) * spread)[picture]
    above, below = (gap >= bound) & (bound > 0), (gap <= -bound) & (bound > 0)
    p, q, given = (np.bincount(rater, each, raters) for each in (above, below, np.ones(len(rater))))
    nothing = np.full(raters, np.nan)
    far = np.divide(p + q, given, out=nothing.copy(), where=given >= LEAST_PICTURES)
    return far, np.divide(np.abs(p - q), p + q, out=nothing.copy(), where=p + q > 0), given


def agreement(ratings: Ratings) -> np.ndarray:
    """Pearson correlation of each rater's ratings with the mean of the others' of the same pictures.

    Returns:
        float64 [raters]; NaN for raters of fewer than LEAST_PICTURES pictures that others rated too, and where the
        others' means are all alike; 0 for a rater who gave one and the same rating to all.
    """
    counts = ratings.counts[ratings.picture]
    sums = np.bincount(ratings.picture, ratings.value, ratings.pictures)[ratings.picture]
    rows = counts > 1
    own, rater = ratings.value[rows], ratings.rater[rows] if ratings.raters else ratings.rater
    others = (sums[rows] - own) / (counts[rows] - 1)
    found = np.full(len(ratings.raters), np.nan)
    order = np.argsort(rater, kind="stable")
    for place in np.split(order, np.flatnonzero(np.diff(rater[order])) + 1) if len(rater) else ():
        if len(place) >= LEAST_PICTURES and np.ptp(own[place]) > 0 and np.ptp(others[place]) > 0:
            found[rater[place[0]]] = np.corrcoef(own[place], others[place])[0, 1]
        elif len(place) >= LEAST_PICTURES and np.ptp(others[place]) > 0:
            found[rater[place[0]]] = 0.0  # one and the same rating for all
    return found


def strangers(correlation: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Which raters follow the others too little: below ENOUGH, and far below what is usual among these raters.

    Correlations are compared after Fisher's transformation, where those of n ratings scatter by 1 / sqrt(n - 3).

    Args:
        correlation: of each rater, see `agreement`.
        ratings: how many each gave.
    """
    fisher = np.arctanh(np.clip(correlation, -0.999, 0.999))
    known = np.isfinite(fisher)
    if known.sum() < 3:
        return np.zeros(len(fisher), dtype=bool)
    usual = np.median(fisher[known])
    spread = 1.4826 * np.median(np.abs(fisher[known] - usual))
    scatter = np.maximum(spread, 1 / np.sqrt(np.maximum(ratings - 3, 1)))
    low: np.ndarray = known & (correlation < ENOUGH) & (fisher < usual - OUTSTANDING * scatter)
    return low
