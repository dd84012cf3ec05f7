"""The rule that calls settings equal: right about as often as it says, whatever one bad setting does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from iqa.tuning.rule import ALPHA, compare, stretch

STUDIES = 400


def share(trials: list[bool]) -> float:
    return sum(trials) / len(trials)


@pytest.mark.parametrize("settings", [2, 5, 8])
@pytest.mark.parametrize("splits", [3, 5])
def test_chance_alone_is_seldom_called_a_difference(settings: int, splits: int) -> None:
    random = np.random.default_rng([settings, splits])
    said = [
        compare(random.normal(0, 0.01, (settings, splits)) + random.normal(0, 0.05, splits)).no_difference
        for _ in range(STUDIES)
    ]
    assert share(said) > 1 - ALPHA - 0.04


def test_the_best_setting_is_among_the_good_ones() -> None:
    random = np.random.default_rng(0)
    truth = np.linspace(0, 0.02, 5)[:, None]
    good = [compare(truth + random.normal(0, 0.01, (5, 3))).good[4] for _ in range(STUDIES)]
    assert share(good) > 0.9


def test_a_clear_difference_is_found() -> None:
    random = np.random.default_rng(0)
    found = [
        list(compare(np.array([[0], [0.1], [0.1]]) + random.normal(0, 0.01, (3, 3))).good) == [False, True, True]
        for _ in range(STUDIES)
    ]
    assert share(found) > 0.9


def test_what_splits_have_in_common_is_no_noise() -> None:
    table = np.array([[0.70, 0.80, 0.60], [0.72, 0.82, 0.62], [0.50, 0.60, 0.40]])
    comparison = compare(table)
    assert comparison.margin == pytest.approx(0, abs=1e-12)
    assert list(comparison.good) == [False, True, False]


def test_a_setting_that_trains_badly_hides_no_difference_among_the_others() -> None:
    table = [[0.800, 0.811, 0.790], [0.851, 0.859, 0.842], [0.1, 0.7, -0.2], [0.849, 0.862, 0.838]]
    assert list(compare(table).good) == [False, True, False, True]


def test_a_failed_training_disqualifies_its_setting() -> None:
    comparison = compare([[0.8, 0.81, 0.79], [0.9, None, 0.9], [0.8, 0.8, 0.8]])
    assert not comparison.good[1]
    assert comparison.means[1] == -math.inf


def test_a_stretch_ends_at_the_first_value_that_is_worse() -> None:
    comparison = compare([[0.9, 0.91, 0.9], [0.5, 0.5, 0.51], [0.9, 0.91, 0.905], [0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
    assert list(comparison.good) == [True, False, True, True, False]
    assert stretch(comparison) in ((0, 0), (2, 3))


def test_one_split_says_nothing() -> None:
    with pytest.raises(ValueError, match="at least 2 splits"):
        compare([[0.5], [0.6]])
