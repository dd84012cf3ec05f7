"""How unlike the training pictures a picture looks is a distance that others know, and foreign pictures are far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from iqa.conformal import p_values
from iqa.errors import IqaError
from iqa.model import typicality
from iqa.model.backbone.backbone import Backbone
from iqa.model.typicality import Distance, middle_columns


def drawn(count: int, seed: int) -> torch.Tensor:
    """Features [count, 6] of very different sizes, which hang together."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(6, 6)) * [1, 10, 0.1, 1, 1, 1]
    return torch.from_numpy(random.normal(size=(count, 6)) @ mixing + 3).float()


@pytest.mark.parametrize("directions", [2, 5])
def test_it_is_what_the_likelihood_of_probabilistic_components_falls_by(
    directions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typicality, "DIRECTIONS", directions)
    known, new = drawn(60, 1), drawn(20, 2)
    found = Distance.fit(torch.arange(6), known)(new).numpy()
    mean, spread = known.double().mean(0), known.double().std(0, correction=0)
    likelihood = PCA(directions, svd_solver="full").fit(((known - mean) / spread).numpy())
    expected = -2 * likelihood.score_samples(((new - mean) / spread).numpy())
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-3, atol=1e-3)


def test_it_does_not_change_with_the_units_of_features() -> None:
    known, new, units = drawn(200, 1), drawn(20, 2), torch.tensor([1, 100, 1e-3, 1, 5, 1])
    distance = Distance.fit(torch.arange(6), known)(new)
    torch.testing.assert_close(Distance.fit(torch.arange(6), known * units)(new * units), distance, rtol=1e-3, atol=0)


def test_columns_that_never_vary_say_nothing() -> None:
    known, new = drawn(60, 1), drawn(20, 2)
    known[:, 2] = 5
    without = [0, 1, 3, 4, 5]
    assert Distance.fit(torch.arange(6), known)(new).isfinite().all()
    far = new.clone()
    far[:, 2] += 1e6
    distance = Distance.fit(torch.arange(6), known)
    torch.testing.assert_close(distance(far), distance(new))
    assert (
        torch.corrcoef(torch.stack([distance(new), Distance.fit(torch.tensor(without), known[:, without])(new)]))[0, 1]
        > 0.99
    )


def test_fewer_pictures_than_columns_are_enough() -> None:
    assert Distance.fit(torch.arange(6), drawn(4, 1))(drawn(20, 2)).isfinite().all()


@pytest.mark.parametrize(("factor", "said"), [(float("nan"), "not finite"), (0, "all alike")])
def test_features_that_tell_nothing_are_refused(factor: float, said: str) -> None:
    with pytest.raises(IqaError, match=said):
        Distance.fit(torch.arange(6), drawn(9, 1) * factor)


def test_it_is_kept_and_read_again() -> None:
    distance = Distance.fit(torch.tensor([1, 3, 0]), drawn(60, 1)[:, [1, 3, 0]])
    new = drawn(20, 2)
    torch.testing.assert_close(Distance.from_dict(distance.to_dict())(new), distance(new), rtol=0, atol=0)


def test_the_middle_maps_at_every_scale_are_looked_at() -> None:
    backbone = Backbone("test_resnet", pretrained=False, image_size=64, scales=(1.0, 0.5))
    part = backbone.parts[0]
    assert len(part) == 5
    middle = list(range(part[0], sum(part[:3])))
    assert middle_columns(backbone).tolist() == middle + [sum(part) + each for each in middle]


def test_of_a_single_map_that_one_is() -> None:
    backbone = Backbone("test_resnet", pretrained=False, image_size=64, stages="last")
    assert middle_columns(backbone).tolist() == list(range(backbone.num_features))


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
