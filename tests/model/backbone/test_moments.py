"""Pooling says what plain operations say, both ways."""

from __future__ import annotations

import pytest
import torch

from iqa.model.backbone.pooling import mean_std


def plain(maps: torch.Tensor) -> torch.Tensor:
    positions = tuple(range(2, maps.ndim))
    variance, mean = torch.var_mean(maps, dim=positions, correction=0)
    return torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=1)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (2, 3, 7)])
def test_gradients_are_those_of_numerical_differences(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.testing.assert_close(mean_std(maps), plain(maps))
    assert torch.autograd.gradcheck(mean_std, maps)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_low_precision_loses_no_more_than_its_own_rounding(precision, tolerance: float, layout) -> None:
    random = torch.Generator().manual_seed(1)
    maps = torch.randn(4, 8, 16, 16, generator=random).mul(2).add(1).to(precision).contiguous(memory_format=layout)
    weights = torch.randn(4, 16, generator=random)
    ours, exact = maps.clone().requires_grad_(), maps.double().requires_grad_()
    pooled = mean_std(ours)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled.double(), plain(exact), rtol=1e-5, atol=1e-5)
    (pooled * weights).sum().backward()
    (plain(exact) * weights).sum().backward()
    scale = exact.grad.abs().max()
    assert ours.grad.dtype == precision
    assert (ours.grad.double() - exact.grad).abs().max() < tolerance * scale


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float64])
def test_large_maps_far_from_zero_are_pooled_exactly_in_every_layout(precision: torch.dtype, offset: float) -> None:
    random = torch.Generator().manual_seed(2)
    maps = torch.randn(2, 8, 128, 128, generator=random).add(offset).to(precision)
    for layout in (torch.contiguous_format, torch.channels_last):
        pooled = mean_std(maps.contiguous(memory_format=layout))
        torch.testing.assert_close(pooled.double(), plain(maps.double()), rtol=1e-5, atol=1e-4)


def test_a_map_of_one_position_has_no_spread() -> None:
    maps = torch.randn(3, 5, 1, 1, generator=torch.Generator().manual_seed(3))
    for layout in (torch.contiguous_format, torch.channels_last):
        pooled = mean_std(maps.contiguous(memory_format=layout))
        torch.testing.assert_close(pooled, torch.cat([maps.flatten(1), torch.full((3, 5), 1e-3)], dim=1))


def test_a_flat_map_has_a_finite_gradient() -> None:
    maps = torch.ones(1, 2, 4, 4, requires_grad=True)
    mean_std(maps).sum().backward()
    assert maps.grad.isfinite().all()
