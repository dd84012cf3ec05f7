"""Wrong scores are found among right ones by pictures that look alike, and never by a picture's own copies."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.metrics import average_precision_score

from iqa.data.audit.natural import COUNT, _asymmetric, _symmetric, statistics
from iqa.data.audit.suspects import LEAST, find_suspects, suspect_facts, suspect_findings

DIMENSIONS = 40


def looks(pictures: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of pictures, and scores that they tell with some noise."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(pictures, COUNT + DIMENSIONS))
    scores = features[:, COUNT : COUNT + 5].sum(axis=1) + 0.5 * features[:, 0] + random.normal(size=pictures)
    return features.astype(np.float16), scores


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_scores_are_found(seed: int) -> None:
    features, scores = looks(800, seed)
    random = np.random.default_rng(seed)
    wrong = random.choice(800, 40, replace=False)
    scores[wrong] = scores[random.permutation(wrong)]
    found = find_suspects(features, scores, np.arange(800))
    assert found is not None
    assert average_precision_score(np.isin(np.arange(800), wrong), np.abs(found.deviations)) > 3 * 40 / 800
    assert len(found.rows)
    assert np.isin(found.rows, wrong).mean() > 0.8


def test_the_scale_of_scores_decides_nothing() -> None:
    features, scores = looks(200)
    first, second = (find_suspects(features, each, np.arange(200)) for each in (scores, 100 - 7 * scores))
    np.testing.assert_allclose(first.deviations, -second.deviations, atol=1e-6)
    np.testing.assert_allclose(100 - 7 * first.expected, second.expected, atol=1e-6)


def test_copies_do_not_vouch_for_each_other() -> None:
    features, scores = looks(300)
    for number in range(0, 120, 4):
        features[number : number + 4] = features[number]
        scores[number : number + 4] = scores[number]
    scores[:4] += 15
    groups = np.where(np.arange(300) < 120, np.arange(300) // 4, np.arange(300))
    assert sorted(find_suspects(features, scores, groups).rows[:4]) == [0, 1, 2, 3]


def test_features_that_tell_nothing_accuse_nobody() -> None:
    features, _ = looks(300)
    scores = np.random.default_rng(5).standard_t(1.5, size=300)
    found = find_suspects(features, scores, np.arange(300))
    assert not found.telling
    assert not len(found.rows)
    assert suspect_findings(found, ["a.png"] * 300) == []


def test_unreadable_pictures_are_left_out_and_few_pictures_tell_nothing() -> None:
    features, scores = looks(LEAST + 1)
    features[7] = np.nan
    found = find_suspects(features, scores, np.arange(LEAST + 1))
    assert np.flatnonzero(np.isnan(found.expected)).tolist() == [7]
    assert find_suspects(features[1:], scores[1:], np.arange(LEAST)) is None
    assert find_suspects(features, scores, np.zeros(LEAST + 1, dtype=int)) is None
    assert suspect_facts(None, [], scores)["first"] == []


@pytest.mark.parametrize(("shape", "draw"), [(2, "normal"), (1, "laplace")])
def test_the_shape_of_a_known_distribution_is_told(shape: float, draw: str) -> None:
    values = getattr(np.random.default_rng(0), draw)(0, 1, 200_000)
    assert _symmetric(values) == pytest.approx([shape, values.var()], rel=0.02)
    alpha, mean, left, right = _asymmetric(values)
    assert (alpha, left) == pytest.approx((shape, right), rel=0.03)
    assert mean == pytest.approx(0, abs=0.02)


def test_blur_and_noise_move_statistics_of_detail_apart() -> None:
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((160, 160))
    noisy = Image.fromarray(np.clip(np.array(picture) + random.normal(0, 25, (160, 160, 3)), 0, 255).astype(np.uint8))
    variances = [statistics(each)[1] for each in (picture.filter(ImageFilter.GaussianBlur(3)), picture, noisy)]
    assert variances == sorted(variances)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (20, 17), (64, 64)])
def test_every_size_has_as_many_finite_statistics(size: tuple[int, int]) -> None:
    found = statistics(Image.new("RGB", size, "teal"))
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()
