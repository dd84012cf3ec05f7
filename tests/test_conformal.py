"""Intervals hold as often as they say, are as wide as other tools make them, and say when they cannot tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalRegressor

from iqa.calibration import IDENTITY
from iqa.conformal import LEAST, LEAST_OF_COMPONENT, Intervals, Said, fit_intervals
from iqa.data.manifest import ScoreScale
from iqa.errors import UserError
from iqa.scoring.scale import Calibration


def pictures(number: int, seed: int, components: int = 3) -> tuple[Said, np.ndarray]:
    """Pictures of components that are judged unlike well: the last errs by the most."""
    random = np.random.default_rng(seed)
    component = random.integers(max(1, components), size=number)
    true = 0.3 + 0.4 * random.random(number)
    score = true + random.normal(size=number) * 0.02 * (1 + component) ** 1.5
    shares = np.full((number, components), 0.05)
    if components:
        shares[np.arange(number), component] = 1 - 0.05 * (components - 1)
    return Said(score, np.zeros(number), shares), true


def held(intervals: Intervals, said: Said, true: np.ndarray, coverage: float = 0.9) -> np.ndarray:
    low, high = intervals(said, coverage)
    return (low <= true) & (true <= high)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_intervals_hold_for_new_pictures_as_often_as_they_say_in_every_component(coverage: float) -> None:
    intervals, note = fit_intervals(*pictures(3000, 0))
    assert intervals is not None
    assert note == ""
    said, true = pictures(6000, 1)
    holds = held(intervals, said, true, coverage)
    assert holds.mean() == pytest.approx(coverage, abs=0.03)
    for component in range(3):
        assert holds[said.component == component].mean() == pytest.approx(coverage, abs=0.05)
    low, high = intervals(said, coverage)
    widths = [(high - low)[said.component == component].mean() for component in range(3)]
    assert widths == sorted(widths), "hard pictures have wide ones"


@pytest.mark.parametrize("number", [60, 98, 250])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_without_signs_of_difficulty_they_are_those_of_crepes(number: int, coverage: float) -> None:
    random = np.random.default_rng(number)
    true, error = np.full(number, 0.5), 0.1 * random.normal(size=number)
    flat = Intervals(np.zeros(4), 0.0, {-1: np.sort(np.abs(error))})
    new = Said(np.array([0.4, 0.6]), np.zeros(2), np.empty((2, 0)))
    theirs = ConformalRegressor().fit(residuals=true - (true + error)).predict_int(new.score, confidence=coverage)
    np.testing.assert_allclose(np.column_stack(flat(new, coverage)), theirs)


def test_a_component_of_few_pictures_has_those_of_all() -> None:
    said, true = pictures(400, 2)
    few = said.component != 2
    few[np.flatnonzero(said.component == 2)[: LEAST_OF_COMPONENT - 1]] = True
    some = Said(said.score[few], said.spread[few], said.responsibilities[few])
    intervals, _ = fit_intervals(some, true[few])
    assert intervals is not None
    assert 2 not in intervals.ratios
    assert set(intervals.ratios) >= {-1, 0, 1}


def test_more_certainty_than_the_pictures_allow_takes_the_whole_scale() -> None:
    said, true = pictures(LEAST, 3, components=0)
    intervals, _ = fit_intervals(said, true)
    assert intervals is not None
    low, high = intervals(said, 0.999)
    assert (low == 0).all()
    assert (high == 1).all()


def test_a_picture_unlike_all_that_were_held_out_overflows_nothing() -> None:
    said, true = pictures(200, 0)
    shares = np.zeros((200, 3))
    shares[:, 0] = 1 - 1e-9 * np.abs(true - said.score)  # all of one component, but for what grows with the error
    intervals, _ = fit_intervals(Said(said.score, said.spread, shares), true)
    assert intervals is not None
    other = Said(said.score[:1], said.spread[:1], np.array([[0.0, 1.0, 0.0]]))
    with np.errstate(over="raise"):
        low, high = intervals(other, 0.9)
    assert 0 <= low[0] <= high[0] <= 1


def test_few_pictures_give_none_and_say_so() -> None:
    intervals, note = fit_intervals(*pictures(LEAST - 1, 0))
    assert intervals is None
    assert f"only {LEAST - 1} pictures" in note


def test_they_are_kept_and_read_again() -> None:
    said, true = pictures(400, 4)
    intervals, _ = fit_intervals(said, true)
    assert intervals is not None
    again = Intervals.from_dict(intervals.to_dict())
    np.testing.assert_array_equal(again(said, 0.8), intervals(said, 0.8))


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90])
def test_a_coverage_that_is_none_is_refused(coverage: float) -> None:
    intervals, _ = fit_intervals(*pictures(100, 5))
    assert intervals is not None
    with pytest.raises(UserError, match="coverage"):
        intervals(pictures(3, 6)[0], coverage)


@pytest.mark.parametrize("rises", [True, False])
def test_on_peoples_scale_the_lower_end_is_the_smaller_number(rises: bool) -> None:
    intervals, _ = fit_intervals(*pictures(400, 7))
    calibration = Calibration(IDENTITY, ScoreScale(1, 5, rises), intervals=intervals)
    said, _ = pictures(20, 8)
    unscored = Said(
        np.append(said.score, np.nan), np.append(said.spread, 0), np.vstack([said.responsibilities, [0.3] * 3])
    )
    bounds = calibration.bounds(unscored, 0.9)
    assert bounds.iloc[-1].isna().all()
    known = bounds.iloc[:-1]
    assert (known["low"] < known["high"]).all()
    assert (known["calibrated_low"] < known["calibrated_high"]).all()
    assert known[["calibrated_low", "calibrated_high"]].to_numpy().min() >= 1
    on_scale = calibration(pd.Series(said.score))
    assert on_scale.between(known["calibrated_low"], known["calibrated_high"]).all()
