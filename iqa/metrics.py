"""How well predicted scores follow true ones: rank and linear correlation, error, and their uncertainty.

The protocol of the field (VQEG, "Final report on the validation of objective models of video quality
assessment", phases I and II, 2000 and 2003; Sheikh, Sabir and Bovik, "A statistical evaluation of recent full
reference image quality assessment algorithms", IEEE TIP 2006): rank correlations as they are; linear
correlation and error both as they are and after a monotone mapping of the predictions onto the scores' scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import kendalltau, rankdata

from iqa.errors import UserError
from iqa.progress import progress_bar
from iqa.resampling import resampled_rows

Vector = NDArray[np.float64]

#: Fewer pairs than this would be interpolated, not fitted, by the four parameters of the logistic.
MIN_LOGISTIC = 6

METRICS = ("srcc", "plcc", "krcc", "rmse", "plcc_logistic", "rmse_logistic")


def srcc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Spearman's rank correlation in [-1, 1], ties by mean rank; nan if either side is constant."""
    return _srcc(*_pair(predicted, true))


def plcc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Pearson's linear correlation in [-1, 1]; nan if either side is constant."""
    return _plcc(*_pair(predicted, true))


def krcc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b, corrected for ties) in [-1, 1]; nan if either side is constant."""
    return _krcc(*_pair(predicted, true))


def rmse(predicted: ArrayLike, true: ArrayLike) -> float:
    """Root mean squared error, in units of the score."""
    return _rmse(*_pair(predicted, true))


def scores(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """All of METRICS for one set of pictures.

    Args:
        predicted: [N] predicted scores.
        true: [N] scores on the same scale.

    Raises:
        UserError: lengths differ, fewer than two pairs, or a value that is not finite.
    """
    x, y = _pair(predicted, true)
    return _scores(x, y, fit_logistic(x, y)(x))


@dataclass(frozen=True)
class LogisticFit:
    """A fitted mapping of predictions onto the scale of the scores: call it on predictions.

    Attributes:
        parameters: b1..b4 of `b2 + (b1 - b2) / (1 + exp(-(x - b3) / b4))`, or (slope, intercept) if `linear`.
        linear: a straight line stands in for the logistic: too few pairs, constant input, or no logistic
            found that fits better than the line.
    """

    parameters: tuple[float, ...]
    linear: bool

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogisticFit:
        """Out of a checkpoint or a report, which hold both by their names.

        Raises:
            ValueError: not as many parameters as such a mapping has.
        """
        parameters, linear = tuple(float(each) for each in values["parameters"]), bool(values["linear"])
        if len(parameters) != (2 if linear else 4):
            raise ValueError(f"a mapping of {len(parameters)} parameters")
        return cls(parameters, linear)

    @property
    def rises(self) -> bool:
        """Whether a larger prediction is mapped to a larger score."""
        if self.linear:
            return self.parameters[0] > 0
        upper, lower, _, width = self.parameters
        return (upper - lower) * width > 0

    def __call__(self, predicted: ArrayLike) -> Vector:
        x = np.asarray(predicted, dtype=np.float64)
        if self.linear:
            slope, intercept = self.parameters
            return slope * x + intercept
        upper, lower, centre, width = self.parameters
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of width 0, or nearly so, it is a step
            return np.asarray(lower + (upper - lower) * expit((x - centre) / width))


def fit_logistic(predicted: ArrayLike, true: ArrayLike, start: LogisticFit | None = None) -> LogisticFit:
    """Least-squares fit of VQEG's monotone 4-parameter logistic, rising or falling as the pairs ask.

    Both sides are standardised first, so that the fit does not depend on their units. Without `start` several
    slopes are tried and the best fit wins; with it (a fit to similar pairs) one start is enough. The line is
    a limit of the logistic, so where no logistic beats the line, the line is given.
    """
    x, y = _pair(predicted, true)
    line = _fit_line(x, y)
    if len(x) < MIN_LOGISTIC or line.parameters[0] == 0 or _constant(y):
        return line
    frame = (float(x.mean()), float(x.std()), float(y.mean()), float(y.std()))
    best, best_error = line, _rmse(line(x), y)
    for guess in _starts(x, y, frame, start):
        fit = _descend((x - frame[0]) / frame[1], (y - frame[2]) / frame[3], guess, frame)
        error = _rmse(fit(x), y)
        if np.isfinite(error) and error <= best_error:
            best, best_error = fit, error
    return best


def bootstrap(
    predicted: ArrayLike,
    true: ArrayLike,
    *,
    samples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
    progress: bool | None = False,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of every metric (Efron and Tibshirani, 1993, chapter 13).

    The logistic is fitted anew in every resample, starting from the fit to all pairs, so that its own
    uncertainty counts.

    Args:
        predicted: [N] predicted scores.
        true: [N] scores on the same scale.
        samples: how many resamples.
        seed: makes the resamples, and so the intervals, reproducible.
        confidence: share of resamples inside the interval, between 0 and 1.
        groups: [N] what a picture was made from. Pictures of one clean picture rise and fall together, so
            whole groups are drawn. Few groups make rough, mostly too narrow, intervals; with fewer than
            MIN_GROUPS there are hardly any different draws and every bound is nan.
        progress: True, a bar; None, a bar on a terminal and lines elsewhere; False, nothing.

    Returns:
        metric -> (low, high); nan where a metric is undefined in every resample.
    """
    x, y = _pair(predicted, true)
    if not 0 < confidence < 1 or samples < 1:
        raise UserError(
            "bootstrap needs a confidence between 0 and 1 and at least one sample",
            got=f"confidence={confidence}, samples={samples}",
        )
    whole = fit_logistic(x, y)
    drawn = []
    resamples = resampled_rows(len(x), groups, samples, seed)
    for rows in progress_bar(resamples, total=samples, desc="intervals", unit="resamples", leave=False, shown=progress):
        some_x, some_y = x[rows], y[rows]
        drawn.append(_scores(some_x, some_y, fit_logistic(some_x, some_y, whole)(some_x)))
    tail = (1 - confidence) / 2
    return {name: _interval([draw[name] for draw in drawn], tail) for name in METRICS}


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[Vector, Vector]:
    x, y = (np.asarray(side, dtype=np.float64) for side in (predicted, true))
    if x.ndim != 1 or x.shape != y.shape:
        raise UserError(
            "predicted and true scores do not pair up",
            got=f"shapes {x.shape} and {y.shape}",
            expected="two vectors of the same length",
        )
    if len(x) < 2:
        raise UserError("too few scores to compare", got=len(x), expected="at least 2")
    for name, side in (("predicted", x), ("true", y)):
        if bad := int(np.count_nonzero(~np.isfinite(side))):
            raise UserError(f"{name} scores that are not finite", got=f"{bad} of {len(side)}", expected="numbers")
    return x, y


def _scores(x: Vector, y: Vector, mapped: Vector) -> dict[str, float]:
    values = (_srcc(x, y), _plcc(x, y), _krcc(x, y), _rmse(x, y), _plcc(mapped, y), _rmse(mapped, y))
    return dict(zip(METRICS, values, strict=True))


def _constant(values: Vector) -> bool:
    return float(np.ptp(values)) <= 1e-12 * max(1e-12, float(np.abs(values).max()))


def _plcc(x: Vector, y: Vector) -> float:
    if _constant(x) or _constant(y):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def _srcc(x: Vector, y: Vector) -> float:
    return _plcc(rankdata(x), rankdata(y))


def _krcc(x: Vector, y: Vector) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(kendalltau(x, y).statistic)


def _rmse(x: Vector, y: Vector) -> float:
    return float(np.sqrt(np.mean((x - y) ** 2)))


def _fit_line(x: Vector, y: Vector) -> LogisticFit:
    spread = x - x.mean()
    slope = 0.0 if _constant(x) else float(spread @ (y - y.mean()) / (spread @ spread))
    return LogisticFit((slope, float(y.mean() - slope * x.mean())), linear=True)


def _starts(x: Vector, y: Vector, frame: tuple[float, ...], start: LogisticFit | None) -> list[Vector]:
    """Where to descend from: standardised (middle, half range, centre, log width) of a curve."""
    if start is not None and not start.linear:
        upper, lower, centre, width = start.parameters
        mean_x, std_x, mean_y, std_y = frame
        vertical = [((upper + lower) / 2 - mean_y) / std_y, (upper - lower) / 2 / std_y]
        return [np.array([*vertical, (centre - mean_x) / std_x, np.log(width / std_x)])]
    half = (1.0 if _plcc(x, y) >= 0 else -1.0) * float(np.ptp(y)) / 2 / frame[3]
    middle = (float(y.max() + y.min()) / 2 - frame[2]) / frame[3]
    # Quartiles, because one wild prediction moves mean and deviation far from where the pictures are.
    low, centre, high = (np.quantile(x, [0.25, 0.5, 0.75]) - frame[0]) / frame[1]
    width = max(float(high - low), 1e-3)
    shares = (0.1, 0.4, 1.2) if start is None else (0.4,)
    return [np.array([middle, half, centre, np.log(width * share)]) for share in shares]


def _descend(x: Vector, y: Vector, guess: Vector, frame: tuple[float, ...]) -> LogisticFit:
    """Levenberg-Marquardt on standardised pairs; fitting the width's logarithm keeps the width positive."""

    def residuals(p: Vector) -> Vector:
        return np.asarray(p[0] + p[1] * np.tanh((x - p[2]) * np.exp(-p[3]) / 2) - y)

    def jacobian(p: Vector) -> Vector:
        scaled = (x - p[2]) * np.exp(-p[3])
        bend = np.tanh(scaled / 2)
        slope = p[1] * (1 - bend**2) / 2
        return np.stack([np.ones_like(x), bend, -slope * np.exp(-p[3]), -slope * scaled], axis=1)

    with np.errstate(all="ignore"):
        found = least_squares(residuals, guess, jacobian, method="lm", max_nfev=40, xtol=1e-6, ftol=1e-6)
    middle, half, centre, log_width = (float(value) for value in found.x)
    mean_x, std_x, mean_y, std_y = frame
    return LogisticFit(
        (
            (middle + half) * std_y + mean_y,
            (middle - half) * std_y + mean_y,
            centre * std_x + mean_x,
            float(np.exp(min(log_width, 50.0))) * std_x,
        ),
        linear=False,
    )


def _interval(values: list[float], tail: float) -> tuple[float, float]:
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)
