"""Second-order pooling: covariances of channels, whatever their number, order of positions and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iqa.model.backbone.pooling import BILINEAR_WIDTH, Bilinear


def maps(channels: int, *, batch: int = 3, side: int = 12, precision: torch.dtype = torch.float32) -> torch.Tensor:
    random = torch.Generator().manual_seed(channels)
    mixing = torch.randn(channels, channels, generator=random)
    values = torch.randn(batch, channels, side, side, generator=random)
    return torch.einsum("ij,bjhw->bihw", mixing, values).to(precision)


def test_few_channels_give_the_signed_roots_of_their_covariances() -> None:
    values = maps(5)
    pooled = Bilinear(5)(values)
    assert pooled.shape == (3, 15)
    for row, picture in zip(pooled, values, strict=True):
        covariance = np.cov(picture.flatten(1).double().numpy(), bias=True)[np.triu_indices(5)]
        roots = np.sign(covariance) * np.sqrt(np.abs(covariance))
        expected = roots / np.sqrt((roots**2).mean())
        np.testing.assert_allclose(row.numpy(), expected, atol=1e-4)


def test_many_channels_are_seen_in_a_few_directions_that_are_saved_with_the_model() -> None:
    values, pool = maps(100), Bilinear(100)
    pooled = pool(values)
    assert pooled.shape == (3, BILINEAR_WIDTH * (BILINEAR_WIDTH + 1) // 2)
    torch.testing.assert_close(pool.directions.T @ pool.directions, torch.eye(BILINEAR_WIDTH), atol=1e-5, rtol=0)
    torch.testing.assert_close(Bilinear(100)(values), pooled)
    assert list(pool.state_dict()) == ["directions"]


@pytest.mark.parametrize("channels", [8, 100])
def test_neither_the_order_of_positions_nor_contrast_nor_brightness_counts(channels: int) -> None:
    values, pool = maps(channels), Bilinear(channels)
    shuffled = values.flatten(2)[..., torch.randperm(144, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(pool(shuffled), pool(values), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pool(3 * values + 7), pool(values), atol=1e-3, rtol=1e-3)


def test_it_computes_in_float32_and_takes_flat_maps() -> None:
    pool = Bilinear(8)
    low = maps(8, precision=torch.bfloat16)
    assert pool(low).dtype == torch.float32
    torch.testing.assert_close(pool(low), pool(low.float()))
    flat = torch.ones(2, 8, 4, 4, requires_grad=True)
    pooled = pool(flat)
    assert (pooled == 0).all()
    pooled.sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_gradients_are_those_of_numerical_differences() -> None:
    values = maps(4, batch=2, side=5).requires_grad_()
    pool = Bilinear(4)
    assert torch.autograd.gradcheck(pool, values, eps=1e-2, atol=2e-2, rtol=2e-2)
