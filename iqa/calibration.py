"""From a model's own scores to the scale that people used: a mapping that keeps their order and stays on the scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.special import expit

from iqa.errors import UserError
from iqa.metrics import LogisticFit, Vector

#: Fewer validation pictures tell no mapping. On halves of real predictions, where the scores fitted as they were
#: (BIQ2021, RMSE .106), a mapping found on 10 of them had .108, in one of twenty draws .118 or more; found on 20, .106.
LEAST_TO_MAP = 20
#: The scores as they are count like so many pictures, spread over the scale: few pictures move them little.
PULL, GRID = 5.0, np.linspace(0, 1, 11)
#: Parts of the pictures that are left out in turn to see whether a mapping holds for pictures that it was not found on.
FOLDS = 5
#: Least and most of what is fitted: lower end, share of the room above it, centre, logarithm of the width. A narrower
#: curve would be a step, which takes most pictures for equal.
BOUNDS = np.array([[0.0, 1.0], [0.0, 1.0], [-1.0, 2.0], [np.log(0.02), np.log(5.0)]]).T
#: Where fitting starts: nearly a line over the whole scale.
START = np.array([0.02, 0.98, 0.5, np.log(0.2)])

#: Leaves scores as they are.
IDENTITY = LogisticFit((1.0, 0.0), linear=True)


def fit_rising(predicted: ArrayLike, true: ArrayLike) -> tuple[LogisticFit, str]:
    """The logistic that brings predictions nearer to scores on 0-1, if the pictures tell one; else the identity.

    It never falls and never leaves 0-1. It is taken only if it also helps pictures that it was not fitted to, by more
    than chance explains: by more than a standard error in a cross-validation.

    Args:
        predicted: [N] a model's scores of validation pictures, about 0-1, finite.
        true: [N] people's, in 0-1.

    Returns:
        the mapping, and why it is the identity, "" where it is not.

    Raises:
        UserError: lengths differ, or a value that is not finite.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (predicted, true))
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError(
            "a calibration pairs finite predictions with scores",
            got=f"shapes {x.shape} and {y.shape}",
            expected="two vectors of the same length without NaN",
        )
    if len(x) < LEAST_TO_MAP:
        return IDENTITY, (
            f"only {len(x)} validation pictures; a mapping takes {LEAST_TO_MAP}, since one found on fewer may do more "
            "harm than good"
        )
    for name, side in (("predictions", x), ("scores", y)):
        if np.ptp(side) < 1e-6:
            return IDENTITY, f"the {name} of all {len(x)} validation pictures are the same"
    if not _helps(x, y):
        return (
            IDENTITY,
            f"no mapping brings the {len(x)} validation pictures nearer to their scores by more than chance",
        )
    return _fit(x, y), ""


def _helps(x: Vector, y: Vector) -> bool:
    """Whether pictures that the mapping was not fitted to come nearer to their scores, by more than chance."""
    folds = np.empty(len(x), dtype=int)
    folds[np.argsort(x, kind="stable")] = np.arange(len(x)) % FOLDS
    mapped = np.empty(len(x))
    for fold in range(FOLDS):
        out = folds == fold
        mapped[out] = _fit(x[~out], y[~out])(x[out])
    gain = (np.clip(x, 0, 1) - y) ** 2 - (mapped - y) ** 2
    return bool(gain.mean() > gain.std() / len(x) ** 0.5)


def _fit(x: Vector, y: Vector) -> LogisticFit:
    """Least squares, with the identity as PULL further pictures."""
    x, y = np.append(x, GRID), np.append(y, GRID)
    weights = np.ones(len(x))
    weights[-len(GRID) :] = (PULL / len(GRID)) ** 0.5

    def residuals(p: Vector) -> Vector:
        return np.asarray(weights * (_curve(p)(x) - y))

    def jacobian(p: Vector) -> Vector:
        lower, share, centre, log_width = p
        scaled = (x - centre) * np.exp(-log_width)
        rise = expit(scaled)
        slope = share * (1 - lower) * rise * (1 - rise)
        columns = [1 - share * rise, (1 - lower) * rise, -slope * np.exp(-log_width), -slope * scaled]
        return np.stack([weights * column for column in columns], axis=1)

    return _curve(least_squares(residuals, START, jacobian, bounds=BOUNDS, xtol=1e-6, ftol=1e-6).x)


def _curve(p: Vector) -> LogisticFit:
    lower, share, centre, log_width = (float(value) for value in p)
    return LogisticFit((lower + share * (1 - lower), lower, centre, float(np.exp(log_width))), linear=False)
