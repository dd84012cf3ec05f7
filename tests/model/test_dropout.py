"""Masks drawn by the byte drop as many as they should, and what is kept keeps the mean."""

from __future__ import annotations

import pytest
import torch

from iqa.model.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_is_kept(share: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(share)(torch.ones(1001, 1003))
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.004)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert len(dropped.unique()) == 2


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).float() - 0.5
    for distance in (1, 2, 7, 8, 16):
        assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 0.002


def test_the_gradient_goes_where_the_values_went_and_the_seed_decides_where() -> None:
    layer, values = Dropout(0.3), torch.ones(40, 50, requires_grad=True)
    torch.manual_seed(3)
    first = layer(values)
    first.sum().backward()
    assert torch.equal(values.grad, first)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(layer(values), first)


@pytest.mark.parametrize("layer", [Dropout(0.3).eval(), Dropout(0.0)])
def test_nothing_is_dropped_in_evaluation_or_at_zero(layer: Dropout) -> None:
    values = torch.randn(20, 30)
    assert torch.equal(layer(values), values)


def test_half_precision_stays_what_it_is() -> None:
    assert Dropout(0.5)(torch.ones(9, 9, dtype=torch.bfloat16)).dtype == torch.bfloat16
