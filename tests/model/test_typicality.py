"""How unlike the training pictures a picture looks is a distance that others know, and foreign pictures are far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from iqa.conformal import p_values
from iqa.errors import IqaError
from iqa.model.backbone.backbone import Backbone
from iqa.model.typicality import EarlyDistance, early_columns


def drawn(count: int, seed: int) -> torch.Tensor:
    """Features [count, 6] of very different sizes, which hang together."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(6, 6)) * [1, 10, 0.1, 1, 1, 1]
    return torch.from_numpy(random.normal(size=(count, 6)) @ mixing + 3).float()


def test_it_is_the_distance_of_a_shrunk_covariance() -> None:
    known, new = drawn(60, 1), drawn(20, 2)
    found = EarlyDistance.fit(torch.arange(6), known)(new)
    mean, spread = known.double().mean(0), known.double().std(0, correction=0)
    shrunk = LedoitWolf().fit(((known - mean) / spread).numpy())
    expected = shrunk.mahalanobis(((new - mean) / spread).numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_it_does_not_change_with_the_units_of_features() -> None:
    known, new, units = drawn(200, 1), drawn(20, 2), torch.tensor([1, 100, 1e-3, 1, 5, 1])
    distance = EarlyDistance.fit(torch.arange(6), known)(new)
    torch.testing.assert_close(
        EarlyDistance.fit(torch.arange(6), known * units)(new * units), distance, rtol=1e-3, atol=0
    )


def test_columns_that_never_vary_say_nothing() -> None:
    known, new = drawn(60, 1), drawn(20, 2)
    known[:, 2] = 5
    without = [0, 1, 3, 4, 5]
    assert EarlyDistance.fit(torch.arange(6), known)(new).isfinite().all()
    far = new.clone()
    far[:, 2] += 1e6
    distance = EarlyDistance.fit(torch.arange(6), known)
    torch.testing.assert_close(distance(far), distance(new))
    assert (
        torch.corrcoef(torch.stack([distance(new), EarlyDistance.fit(torch.tensor(without), known[:, without])(new)]))[
            0, 1
        ]
        > 0.99
    )


def test_fewer_pictures_than_columns_are_enough() -> None:
    assert EarlyDistance.fit(torch.arange(6), drawn(4, 1))(drawn(20, 2)).isfinite().all()


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(IqaError, match="not finite"):
        EarlyDistance.fit(torch.arange(6), drawn(9, 1) * float("nan"))


def test_it_is_kept_and_read_again() -> None:
    distance = EarlyDistance.fit(torch.tensor([1, 3, 0]), drawn(60, 1)[:, [1, 3, 0]])
    new = drawn(20, 2)
    torch.testing.assert_close(EarlyDistance.from_dict(distance.to_dict())(new), distance(new), rtol=0, atol=0)


def test_the_first_maps_at_every_scale_are_looked_at() -> None:
    backbone = Backbone("test_resnet", pretrained=False, image_size=64, scales=(1.0, 0.5)).eval()
    columns = early_columns(backbone)
    (first, second, *_), width = backbone.parts[0], sum(backbone.parts[0])
    early = list(range(first + second))
    assert columns.tolist() == early + [width + each for each in early]


def test_of_pictures_like_the_known_ones_a_share_p_lies_below_p() -> None:
    random = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        known, new = np.sort(random.exponential(size=99)), random.exponential(size=50)
        shares.append([np.mean(p_values(known, new) <= level) for level in (0.05, 0.5, 0.9)])
    np.testing.assert_allclose(np.mean(shares, axis=0), (0.05, 0.5, 0.9), atol=0.02)


def test_what_is_farther_than_all_known_ones_has_the_smallest_value_and_no_number_has_none() -> None:
    found = p_values(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0, 9.0, np.nan]))
    np.testing.assert_array_equal(found, [1, 0.75, 0.25, np.nan])
