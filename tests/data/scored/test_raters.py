"""Raters unlike the others are found by the ITU's tests, and the ceiling is where simulated raters put it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kurtosis, spearmanr

from iqa.data.scored.ratings.rated import Ratings
from iqa.data.scored.ratings.reliability import LEAST_PAIRS, ceiling_of, noise_of_twins, reliability, spearman_brown
from iqa.data.scored.ratings.screening import LEAST_PICTURES, LEAST_RATINGS, agreement, judge, outliers


def ratings_of(matrix: np.ndarray) -> Ratings:
    """Ratings of [pictures, raters], NaN where there is none."""
    picture, rater = np.nonzero(np.isfinite(matrix))
    names = tuple(f"rater {place}" for place in range(matrix.shape[1]))
    return Ratings(len(matrix), picture, matrix[picture, rater], rater, names)


def study(pictures: int, raters: int, noise: float, seed: int = 0, seen: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """True qualities and ratings of pictures, NaN where a rater saw none."""
    random = np.random.default_rng(seed)
    true = random.normal(3, 1, pictures)
    given = true[:, None] + random.normal(0, noise, (pictures, raters))
    return true, np.where(random.random(given.shape) < seen, given, np.nan)


def bt500(matrix: np.ndarray) -> list[tuple[int, int]]:
    """P and Q of each rater, as the recommendation writes them down."""
    found = []
    for rater in range(matrix.shape[1]):
        above = below = 0
        for row in matrix:
            known = row[np.isfinite(row)]
            if not np.isfinite(row[rater]) or len(known) < LEAST_RATINGS:
                continue
            bound = 2 if 2 <= kurtosis(known, fisher=False) <= 4 else np.sqrt(20)
            above += row[rater] >= known.mean() + bound * known.std(ddof=1)
            below += row[rater] <= known.mean() - bound * known.std(ddof=1)
        found.append((above, below))
    return found


def test_far_ratings_are_counted_as_the_recommendation_says() -> None:
    _, given = study(60, 22, 1.0, seen=0.9)
    given[:, 3] = np.random.default_rng(1).choice([-2.0, 8.0], 60)
    far, one_sided, _ = outliers(ratings_of(given))
    for rater, (above, below) in enumerate(bt500(given)):
        rated = np.isfinite(given[:, rater]) & (np.isfinite(given).sum(axis=1) >= LEAST_RATINGS)
        assert far[rater] == pytest.approx((above + below) / rated.sum())
        if above + below:
            assert one_sided[rater] == pytest.approx(abs(above - below) / (above + below))
    assert far[3] > 0.1


def test_correlations_are_those_with_the_mean_of_the_others() -> None:
    _, given = study(50, 6, 1.0, seen=0.7)
    found = agreement(ratings_of(given))
    for rater in range(6):
        rest = np.delete(given, rater, axis=1)
        both = np.isfinite(given[:, rater]) & np.isfinite(rest).any(axis=1)
        others = np.nanmean(np.where(both[:, None], rest, 0), axis=1)
        assert found[rater] == pytest.approx(np.corrcoef(given[both, rater], others[both])[0, 1])


@pytest.mark.parametrize("seen", [1.0, 0.3])
def test_who_guesses_or_turns_the_scale_round_is_rejected_and_nobody_else(seen: float) -> None:
    _, given = study(200, 30, 0.8, seen=seen)
    given[:, 4] = np.where(np.isfinite(given[:, 4]), np.random.default_rng(2).normal(3, 1.3, 200), np.nan)
    given[:, 9] = 6 - given[:, 9]
    given[:, 11] = np.where(np.isfinite(given[:, 11]), 5, np.nan)
    assert judge(ratings_of(given)).out.tolist() == [4, 9, 11]


def test_a_strict_rater_is_no_stranger() -> None:
    _, given = study(200, 20, 0.8)
    given[:, 6] -= 1.5
    assert not len(judge(ratings_of(given)).out)


def test_raters_of_a_noisy_crowd_are_not_judged_by_the_bound_of_a_laboratory() -> None:
    _, given = study(150, 40, 2.5)
    judged = judge(ratings_of(given))
    assert np.median(judged.correlation) < 0.6
    assert not len(judged.out)


@pytest.mark.parametrize("seed", range(5))
def test_of_raters_who_are_all_alike_none_is_rejected(seed: int) -> None:
    _, given = study(150, 30, 1.0, seed=seed)
    assert not len(judge(ratings_of(np.clip(np.rint(given), 1, 5))).out)
    assert not len(judge(ratings_of(given)).out)


def test_who_rated_little_is_not_judged() -> None:
    _, given = study(200, 20, 0.8)
    given[LEAST_PICTURES - 1 :, 2] = np.nan
    judged = judge(ratings_of(given))
    assert (judged.judged, np.isnan(judged.far[2]), np.isnan(judged.correlation[2])) == (19, True, True)


@pytest.mark.parametrize(("raters", "noise", "seen"), [(6, 1.0, 1.0), (10, 2.0, 1.0), (40, 1.5, 0.2), (5, 0.5, 1.0)])
def test_the_ceiling_is_the_srcc_of_true_quality_with_the_mean_scores(raters: int, noise: float, seen: float) -> None:
    true, given = study(1500, raters, noise, seed=3, seen=seen)
    rated = np.isfinite(given).sum(axis=1) > 1
    true, given = true[rated], given[rated]
    found = reliability(ratings_of(given), draws=20)
    assert found is not None
    reached = spearmanr(true, np.nanmean(given, axis=1))[0]
    assert found.ceiling == pytest.approx(reached, abs=0.02)
    assert found.low <= found.reliability <= found.high


def test_without_names_the_ceiling_is_the_same_where_raters_do_not_differ() -> None:
    _, given = study(1000, 12, 1.5)
    known = ratings_of(given)
    nameless = Ratings(known.pictures, known.picture, known.value, np.empty(0, dtype=np.int64))
    both = [reliability(each, draws=20) for each in (known, nameless)]
    assert [each.way for each in both if each] == ["raters", "ratings"]
    assert both[0].ceiling == pytest.approx(both[1].ceiling, abs=0.01)


def test_a_strict_rater_is_no_noise_where_all_rate_all() -> None:
    _, given = study(300, 10, 0.3)
    given += np.random.default_rng(5).normal(0, 2, 10)
    known = ratings_of(given)
    nameless = Ratings(known.pictures, known.picture, known.value, np.empty(0, dtype=np.int64))
    assert reliability(known, draws=10).reliability > 0.98 > reliability(nameless, draws=10).reliability


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_twice_as_many_ratings_twice_are_four_times_as_many(rho: float) -> None:
    assert spearman_brown(spearman_brown(rho)) == pytest.approx(spearman_brown(rho, 4))
    assert spearman_brown(rho, 1) == pytest.approx(rho)
    assert rho <= spearman_brown(rho) <= ceiling_of(spearman_brown(rho)) <= 1


def test_too_few_ratings_tell_no_reliability() -> None:
    assert reliability(Ratings(50, np.arange(50), np.arange(50.0), np.empty(0, dtype=np.int64))) is None
    assert reliability(ratings_of(np.full((50, 6), 3.0)), draws=5) is None


def test_twins_tell_the_same_ceiling_as_true_quality() -> None:
    random = np.random.default_rng(0)
    true = random.normal(size=2000)
    true[1000:1400] = true[:400]
    scores = true + random.normal(0, 0.6, 2000)
    pairs = np.stack([np.arange(400), np.arange(1000, 1400)], axis=1)
    found = noise_of_twins(scores, pairs)
    assert found is not None
    assert found.noise == pytest.approx(0.6, rel=0.1)
    assert found.ceiling == pytest.approx(np.corrcoef(true, scores)[0, 1], abs=0.02)
    assert noise_of_twins(scores, pairs[: LEAST_PAIRS - 1]) is None
