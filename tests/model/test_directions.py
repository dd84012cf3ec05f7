"""The mixture's directions tell apart what happened to pictures, and not what they show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional

from iqa.model.directions import find_directions


def embeddings(count: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of ten contents, to which one of three weaker things happened."""
    random = torch.Generator().manual_seed(seed)
    sorts = torch.arange(count) % 3
    contents = torch.randint(10, (count,), generator=random)
    shown = 2 * torch.randn(10, 12, generator=random)[contents]
    happened = torch.randn(3, 12, generator=random)[sorts]
    return shown + happened + 0.1 * torch.randn(count, 12, generator=random), sorts


def told(points: torch.Tensor, sorts: torch.Tensor) -> float:
    """The share of pictures whose sort the points tell."""
    return float(LinearDiscriminantAnalysis().fit(points.numpy(), sorts.numpy()).score(points.numpy(), sorts.numpy()))


def test_directions_follow_what_happened_and_not_the_content() -> None:
    seen, sorts = embeddings()
    directions = find_directions(seen, sorts, 2)
    components = find_directions(seen, torch.zeros(400, dtype=torch.long), 2)
    assert told(seen @ directions, sorts) > 0.9
    assert told(seen @ components, sorts) < 0.6


def test_with_one_sort_they_are_principal_components() -> None:
    seen, _ = embeddings()
    directions = find_directions(seen, torch.zeros(400, dtype=torch.long), 3)
    _, _, theirs = np.linalg.svd((seen - seen.mean(0)).numpy(), full_matrices=False)
    ours = functional.normalize(directions, dim=0).numpy()
    assert np.abs(np.diag(theirs[:3] @ ours)) == pytest.approx(1, abs=1e-3)


def test_components_fill_what_discriminants_leave() -> None:
    seen, sorts = embeddings()
    directions = find_directions(seen, sorts, 6)
    torch.testing.assert_close((seen @ directions).std(dim=0, correction=0), torch.ones(6))
    between = directions[:, :2].T @ directions[:, 2:]
    assert between.abs().max() < 1e-4


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_pictures_fill_what_they_can(count: int) -> None:
    directions = find_directions(torch.randn(count, 12), torch.arange(count), 8)
    assert directions.isfinite().all()
    assert directions.shape == (12, 8)
    assert find_directions(torch.ones(count, 12), torch.arange(count) % 2, 8).isfinite().all()


def test_sorts_whose_pictures_are_all_alike_are_told_apart_all_the_same():
    sorts = torch.arange(60) % 5
    embeddings = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))[sorts]
    z = embeddings @ find_directions(embeddings, sorts, 4)
    assert len(torch.unique(z.mul(1e3).round(), dim=0)) == 5


def test_of_many_pictures_some_are_enough_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    seen = torch.randn(4000, 12) * torch.tensor([5.0, 3.0, *[0.5] * 10])
    sorts = torch.zeros(4000, dtype=torch.long)
    whole = find_directions(seen, sorts, 2)
    monkeypatch.setattr("iqa.model.directions.MOST_NUMBERS", 12 * 1000)
    drawn = find_directions(seen, sorts, 2)
    assert torch.equal(drawn, find_directions(seen, sorts, 2))
    assert not torch.equal(drawn, whole)
    alike = torch.nn.functional.cosine_similarity(whole, drawn, dim=0).abs()
    assert (alike > 0.98).all()
