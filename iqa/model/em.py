"""Expectation-maximisation over the training pictures, and a word where they do not support so many clusters."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from iqa.errors import IqaError, first_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """How components share points.

    Attributes:
        components: K.
        with_points: those that are the most responsible one for some point.
        effective: see `effective_number`.
    """

    components: int
    with_points: int
    effective: float

    @classmethod
    def of(cls, responsibilities: NDArray[np.floating]) -> Shared:
        """From responsibilities [N, K]."""
        used = len(np.unique(responsibilities.argmax(axis=1)))
        return cls(responsibilities.shape[1], used, effective_number(responsibilities.mean(axis=0)))

    @property
    def sound(self) -> bool:
        """Every component has points, and together they do the work of half as many equal ones or more."""
        return self.with_points == self.components and self.effective >= self.components / 2


def effective_number(shares: ArrayLike) -> float:
    """exp of the entropy of shares [K] that add up to 1: 1 when one has all, K when all have the same."""
    values = np.asarray(shares, dtype=np.float64)
    known = values[values > 0]
    return float(np.exp(-(known * np.log(known)).sum()))


def run_em(
    points: NDArray[np.float64],
    components: int,
    covariance: Literal["diag", "tied"],
    *,
    seed: int,
    n_init: int,
    reg_covar: float,
    max_iter: int,
) -> SklearnMixture:
    """The likeliest of `n_init` fits to points [N, d] from k-means.

    Where that one leaves components without points, or most of the work to a few, as many other starts are tried for
    one that does not; where there is none the points do not support so many components, and that is logged.

    Raises:
        IqaError: EM found no valid covariance.
    """

    def fit(starts: int, start_seed: int) -> SklearnMixture:
        em = SklearnMixture(
            components, covariance_type=covariance, init_params="kmeans",
            n_init=starts, reg_covar=reg_covar, max_iter=max_iter, random_state=start_seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # EmFit tells
            try:
                return em.fit(points)
            except ValueError as error:
                raise IqaError(
                    "EM could not start the mixture",
                    got=first_line(error),
                    fix="raise model.mixture.reg_covar, or lower model.n_clusters or model.mixture.dim",
                ) from error

    likeliest = fit(n_init, seed)
    shared = Shared.of(likeliest.predict_proba(points))
    if shared.sound:
        return likeliest
    # With fewer different points than components no start can help.
    for number in range(1, 1 + n_init) if len(np.unique(points, axis=0)) >= components else ():
        other = fit(1, seed + number)
        if Shared.of(other.predict_proba(points)).sound:
            return other
    log.warning(
        "warning: the training pictures do not support %d clusters: %d of them hold pictures, and they do the work of "
        "%.1f equal ones; lower model.n_clusters",
        *(components, shared.with_points, shared.effective),
    )
    return likeliest
