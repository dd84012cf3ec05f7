"""Correlations against scipy, the logistic against curves it should find, intervals against theory."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from iqa import metrics
from iqa.errors import UserError


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    true = random.uniform(size=300)
    return np.clip(true + 0.15 * random.normal(size=300), 0, 1), true


def test_they_agree_with_scipy(pairs):
    predicted, true = pairs
    assert metrics.srcc(predicted, true) == pytest.approx(stats.spearmanr(predicted, true).statistic)
    assert metrics.plcc(predicted, true) == pytest.approx(stats.pearsonr(predicted, true).statistic)
    assert metrics.krcc(predicted, true) == pytest.approx(stats.kendalltau(predicted, true).statistic)
    assert metrics.rmse(predicted, true) == pytest.approx(np.sqrt(((predicted - true) ** 2).mean()))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_ties_are_scipys_ties(rows):
    predicted, true = np.array(rows, dtype=float).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        expected = stats.spearmanr(predicted, true).statistic, stats.kendalltau(predicted, true).statistic
    got = metrics.srcc(predicted, true), metrics.krcc(predicted, true)
    assert got == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_rank_correlations_do_not_see_a_monotone_change_of_scale(seed):
    random = np.random.default_rng(seed)
    predicted, true = random.uniform(size=(2, 40))
    assert metrics.srcc(np.exp(3 * predicted), true) == pytest.approx(metrics.srcc(predicted, true))
    assert metrics.krcc(-predicted, true) == pytest.approx(-metrics.krcc(predicted, true))
    assert metrics.plcc(2 + 5 * predicted, true) == pytest.approx(metrics.plcc(predicted, true))


def test_constant_predictions_have_no_correlation_and_raise_no_warning(pairs):
    _, true = pairs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.scores(np.full(len(true), 0.3), true)
        intervals = metrics.bootstrap(np.full(len(true), 0.3), true, samples=20)
    assert all(np.isnan(found[name]) for name in ("srcc", "plcc", "krcc", "plcc_logistic"))
    assert found["rmse_logistic"] == pytest.approx(true.std())
    assert np.isnan(intervals["srcc"]).all()
    assert np.isfinite(intervals["rmse"]).all()


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([1, 2, 3], [1, 2], "do not pair up"),
        ([[1, 2]], [[1, 2]], "do not pair up"),
        ([1], [1], "too few"),
        ([1, np.nan, 3], [1, 2, 3], "predicted scores that are not finite"),
        ([1, 2, 3], [1, np.inf, 3], "true scores that are not finite"),
    ],
)
def test_bad_input_is_named(predicted, true, message):
    for measure in (metrics.srcc, metrics.krcc, metrics.rmse, metrics.scores, metrics.bootstrap):
        with pytest.raises(UserError, match=message):
            measure(predicted, true)


def test_the_logistic_finds_the_curve_it_is_given():
    predicted = np.linspace(-20, 90, 200)
    true = 1.2 + 3.1 / (1 + np.exp(-(predicted - 31) / 7.5))
    fit = metrics.fit_logistic(predicted, true)
    assert not fit.linear
    assert fit.parameters == pytest.approx((4.3, 1.2, 31, 7.5), rel=1e-4)
    assert fit(predicted) == pytest.approx(true, abs=1e-5)


def test_the_logistic_is_monotone_and_never_worse_than_a_line(pairs):
    for predicted, true in (pairs, pairs[::-1], (-pairs[0], pairs[1]), (pairs[0] ** 6, pairs[1])):
        found = metrics.scores(predicted, true)
        steps = np.diff(metrics.fit_logistic(predicted, true)(predicted)[np.argsort(predicted)])
        assert (steps >= 0).all() or (steps <= 0).all()
        assert found["plcc_logistic"] >= abs(found["plcc"]) - 1e-6
        assert found["rmse_logistic"] <= found["rmse"] + 1e-9


def test_the_logistic_does_not_depend_on_units_or_on_one_wild_prediction(pairs):
    predicted, true = pairs
    expected = metrics.scores(predicted, true)["plcc_logistic"]
    rescaled = metrics.scores(1e6 * predicted - 3, 100 * true)
    assert rescaled["plcc_logistic"] == pytest.approx(expected, abs=1e-5)
    wild = metrics.scores(np.append(predicted, 1e4), np.append(true, true.max()))
    assert wild["plcc"] < 0.2
    assert wild["plcc_logistic"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("width", [0.0, 1e-310])
def test_a_logistic_so_steep_that_it_is_a_step_raises_no_warning(width: float):
    step = metrics.LogisticFit((1.0, 0.0, 0.5, width), linear=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step([0.1, 0.9]).tolist() == [0.0, 1.0]


def test_too_few_pairs_for_a_logistic_get_a_line():
    fit = metrics.fit_logistic([1, 2, 3], [2, 4, 6])
    assert fit.linear
    assert fit.parameters == pytest.approx((2, 0))


def test_intervals_hold_the_estimate_and_come_out_the_same_twice(pairs):
    found = metrics.scores(*pairs)
    intervals = metrics.bootstrap(*pairs, samples=200, seed=3)
    assert list(intervals) == list(metrics.METRICS) == list(found)
    assert all(low < found[name] < high for name, (low, high) in intervals.items())
    assert intervals == metrics.bootstrap(*pairs, samples=200, seed=3)
    assert intervals != metrics.bootstrap(*pairs, samples=200, seed=4)


def test_plcc_interval_is_near_fishers():
    random = np.random.default_rng(0)
    predicted, true = random.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=400).T
    expected = stats.pearsonr(predicted, true).confidence_interval(0.95)
    found = metrics.bootstrap(predicted, true, samples=400)["plcc"]
    assert found == pytest.approx(tuple(expected), abs=0.015)


def test_pictures_of_one_content_are_not_independent():
    random = np.random.default_rng(1)
    contents = np.repeat(np.arange(20), 25)
    true = random.uniform(size=500)
    predicted = true + np.repeat(0.4 * random.normal(size=20), 25) + 0.05 * random.normal(size=500)
    alone = metrics.bootstrap(predicted, true, samples=150)["srcc"]
    grouped = metrics.bootstrap(predicted, true, samples=150, groups=contents)["srcc"]
    assert grouped[1] - grouped[0] > 1.5 * (alone[1] - alone[0])


def test_groups_of_one_picture_are_the_plain_bootstrap(pairs):
    names = np.array([f"{row:03}" for row in range(len(pairs[0]))])
    assert metrics.bootstrap(*pairs, samples=50, groups=names) == metrics.bootstrap(*pairs, samples=50)


@pytest.mark.parametrize("groups", [1, 2])
def test_one_or_two_groups_give_no_interval(pairs, groups):
    intervals = metrics.bootstrap(*pairs, groups=np.arange(len(pairs[0])) % groups)
    assert np.isnan(list(intervals.values())).all()


def test_a_group_is_needed_for_every_picture(pairs):
    with pytest.raises(UserError, match="one group per picture"):
        metrics.bootstrap(*pairs, groups=["a"])


def test_a_thousand_samples_take_seconds():
    random = np.random.default_rng(2)
    true = random.uniform(size=500)
    started = time.process_time()
    metrics.bootstrap(true + 0.1 * random.normal(size=500), true)
    assert time.process_time() - started < 15
