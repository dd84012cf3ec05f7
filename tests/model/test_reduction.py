"""Principal components of features: what scikit-learn finds, as far as the pictures go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn import functional

from iqa.model.reduction import PartwiseReduction, Reduction


def features(count: int = 200, columns: int = 60, seed: int = 0) -> torch.Tensor:
    """A few strong directions under noise."""
    random = torch.Generator().manual_seed(seed)
    strong = torch.randn(count, 8, generator=random) @ torch.randn(8, columns, generator=random)
    return 3 * strong + torch.randn(count, columns, generator=random)


@pytest.mark.parametrize(("count", "columns"), [(200, 60), (60, 200), (5000, 5100)])
def test_the_components_are_those_of_scikit_learn(count: int, columns: int) -> None:
    seen = features(count, columns)
    reduction = Reduction([columns], 8)
    reduction.fit(seen)
    ours = reduction(seen).numpy()
    theirs = PCA(8, random_state=0).fit_transform(functional.layer_norm(seen, (columns,)).numpy())
    correlations = np.abs([np.corrcoef(ours[:, i], theirs[:, i])[0, 1] for i in range(8)])
    assert correlations.min() > 0.999
    assert ours.var() == pytest.approx(1, rel=0.02)
    assert ours.std(0) / ours.std(0)[0] == pytest.approx(theirs.std(0) / theirs.std(0)[0], rel=1e-3)


def test_a_picture_alone_is_reduced_as_among_others() -> None:
    seen = features()
    reduction = Reduction([60], 8)
    reduction.fit(seen)
    torch.testing.assert_close(reduction(seen[:1]), reduction(seen)[:1])
    torch.testing.assert_close(reduction(5 * seen), reduction(seen), atol=1e-4, rtol=1e-4)


def test_the_same_pictures_give_the_same_components_whatever_was_drawn_before() -> None:
    first, second = Reduction([60], 8), Reduction([60], 8)
    first.fit(features())
    torch.manual_seed(7)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    second.fit(features())
    assert torch.equal(first.directions, second.directions)
    assert torch.equal(torch.rand(3), drawn)


def test_fewer_pictures_than_components_leave_the_rest_empty() -> None:
    reduction = Reduction([60], 16)
    reduction.fit(features(count=5))
    reduced = reduction(features(count=5))
    assert torch.isfinite(reduced).all()
    assert torch.count_nonzero(reduced.abs().sum(0)) <= 5


def test_parts_are_reduced_beside_the_whole_each_by_itself() -> None:
    seen = features()
    both = PartwiseReduction([60], [[40], [20]], 8)
    both.fit(seen)
    reduced = both(seen)
    assert reduced.shape[1] == sum(both.columns) == 8 + 4 + 4
    for part, columns in ((seen, slice(0, 8)), (seen[:, :40], slice(8, 12)), (seen[:, 40:], slice(12, 16))):
        alone = Reduction([part.shape[1]], columns.stop - columns.start)
        alone.fit(part)
        torch.testing.assert_close(reduced[:, columns], alone(part))


def test_a_part_of_few_features_has_no_more_components_than_features() -> None:
    both = PartwiseReduction([60], [[57], [3]], 16)
    both.fit(features())
    assert both.columns == [16, 8, 3]
    assert torch.isfinite(both(features())).all()


def test_what_is_normalised_by_itself_counts_the_same_however_large_it_is() -> None:
    seen = features()
    louder = torch.cat([1000 * seen[:, :20], seen[:, 20:]], dim=1)
    reduction = Reduction([20, 40], 8)
    reduction.fit(seen)
    torch.testing.assert_close(reduction(louder), reduction(seen), atol=1e-4, rtol=1e-4)
