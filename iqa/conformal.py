"""How far people's scores may lie from a model's, intervals that hold as often as they say, and how usual a picture is.

Split and cross-conformal prediction (Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005): errors of
pictures that the model did not learn from are sorted, and an interval is as wide as the error that the wanted share of
them stays below. Errors count relative to how hard a picture looks (Papadopoulos et al., ECML 2002), and within each
component of the mixture by themselves (Mondrian prediction), where it has pictures enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from iqa.errors import UserError

Vector = NDArray[np.float64]

#: Fewer pictures tell no interval, and of a component none of its own.
LEAST, LEAST_OF_COMPONENT = 50, 100
#: Share of the scale that is added to an error before its logarithm is taken: smaller errors are all alike.
ALIKE = 0.02
#: Logarithm of the largest error that is expected of a picture, however unlike others it is: that of the whole scale.
LARGEST = float(np.log(1 + ALIKE))
PENALTIES = np.logspace(-1, 4, 11)
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Said:
    """What a model says of N pictures, as far as intervals depend on it.

    Attributes:
        score: [N] on people's scale as a share of it, 0-1.
        spread: [N] standard deviation over the model's heads; 0 of a single one.
        responsibilities: [N, K]; K = 0 without a mixture.
    """

    score: Vector
    spread: Vector
    responsibilities: Vector

    @property
    def component(self) -> NDArray[np.intp]:
        """[N] the most responsible one; 0 without a mixture."""
        if not self.responsibilities.shape[1]:
            return np.zeros(len(self.score), dtype=np.intp)
        return np.asarray(self.responsibilities.argmax(axis=1))

    @property
    def signs(self) -> Vector:
        """What may tell how hard a picture is [N, 4 + K]."""
        score = self.score
        return np.column_stack([score, score**2, score**3, self.spread, self.responsibilities])


@dataclass(frozen=True, eq=False)
class Intervals:
    """What intervals are made from.

    Attributes:
        weights, bias: [4 + K] and a number: the logarithm of a picture's error is expected at signs @ weights + bias.
        ratios: component -> sorted errors of held-out pictures, each divided by the expected one; under -1 all of them.
    """

    weights: Vector
    bias: float
    ratios: dict[int, Vector]

    @property
    def pictures(self) -> int:
        """How many they are found from."""
        return len(self.ratios[-1])

    def __call__(self, said: Said, coverage: float) -> tuple[Vector, Vector]:
        """Lower and upper ends [N], in 0-1, that hold people's score for `coverage` of pictures like the held-out ones.

        The whole scale where there are too few pictures to be so sure.

        Raises:
            UserError: a coverage that is none.
        """
        check_coverage(coverage)
        factor = np.full(len(said.score), _quantile(self.ratios[-1], coverage))
        for component, ratios in self.ratios.items():
            own = said.component == component
            if own.any():
                factor[own] = _quantile(ratios, coverage)
        half = factor * _error(said.signs @ self.weights + self.bias)
        return (said.score - half).clip(0, 1), (said.score + half).clip(0, 1)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "weights": self.weights.tolist(),
            "bias": self.bias,
            "ratios": {component: ratios.tolist() for component, ratios in self.ratios.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Intervals:
        """Out of a checkpoint.

        Raises:
            KeyError, TypeError, ValueError: they are of another shape.
        """
        ratios = {int(name): np.asarray(each, dtype=np.float64) for name, each in values["ratios"].items()}
        weights = np.asarray(values["weights"], dtype=np.float64)
        if -1 not in ratios or any(each.ndim != 1 or not each.size for each in (weights, *ratios.values())):
            raise ValueError("intervals are made from rows of numbers")
        return cls(weights, float(values["bias"]), ratios)


def fit_intervals(said: Said, true: ArrayLike) -> tuple[Intervals | None, str]:
    """Find intervals from pictures that the model did not learn from.

    Args:
        said: the model's answers to N pictures.
        true: [N] people's scores, in 0-1.

    Returns:
        the intervals, or None and why there are none.
    """
    if len(said.score) < LEAST:
        return None, f"only {len(said.score)} pictures are left to find intervals from; it takes {LEAST}"
    error = np.abs(np.asarray(true, dtype=np.float64) - said.score)
    expect = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    target = np.log(error + ALIKE)
    # What is expected of a picture is told by the others, as of a new one.
    expected = cross_val_predict(expect, said.signs, target, cv=KFold(FOLDS, shuffle=True, random_state=0))
    relative = error / _error(expected)
    ratios = {-1: np.sort(relative)}
    for component in range(said.responsibilities.shape[1]):
        own = relative[said.component == component]
        if len(own) >= LEAST_OF_COMPONENT:
            ratios[component] = np.sort(own)
    scaler, ridge = expect.fit(said.signs, target)
    weights = np.asarray(ridge.coef_ / scaler.scale_)
    return Intervals(weights, float(ridge.intercept_ - scaler.mean_ @ weights), ratios), ""


def _error(logarithm: Vector) -> Vector:
    """The error [N] that is expected, from its logarithm."""
    return np.exp(np.minimum(logarithm, LARGEST))


def p_values(known: Vector, values: Vector) -> Vector:
    """The share of pictures that are as unusual as these [N], or more: the conformal p-value of being one of them.

    Of pictures like the known ones it is below any p for a share p at most (Bates, Candès, Lei, Romano, Sesia, Testing
    for outliers with conformal p-values, Annals of Statistics 51, 2023).

    Args:
        known: [n], sorted, how unusual pictures are that nothing was fitted to.
        values: [N], the same of these; NaN has none.

    Returns:
        [N], from 1 / (n + 1) to 1.
    """
    above = len(known) - np.searchsorted(known, values, side="left")
    return np.where(np.isnan(values), np.nan, (1.0 + above) / (1.0 + len(known)))


def check_coverage(coverage: float) -> float:
    """`coverage`, if it is a share.

    Raises:
        UserError: it is none.
    """
    if not 0 < coverage < 1:
        raise UserError("coverage is the share of pictures that intervals hold for", got=coverage, expected="0 to 1")
    return coverage


def _quantile(ratios: Vector, coverage: float) -> float:
    """The ratio that a new picture stays below with probability `coverage` or more; infinite if these are too few."""
    rank = ceil((len(ratios) + 1) * coverage - 1e-9)  # 10 * .7 is a little more than 7
    return float(ratios[rank - 1]) if rank <= len(ratios) else float("inf")
