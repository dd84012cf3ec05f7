"""Kinds 1-3: gaussian, lens and motion blur. Sizes in reference pixels, scaled by `grid_scale`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from iqa.data.synthetic.distortions.common import blur, filter_each, generators, grid_scale, to_bytes, to_unit


def gaussian_blur(images: Tensor, sigma: float, seeds: Sequence[int]) -> Tensor:
    """Blur with a gaussian; the lowest level (sigma 0.1) leaves the bytes as they are."""
    return to_bytes(blur(to_unit(images), sigma * grid_scale(images)))


def lens_blur(images: Tensor, radius: float, seeds: Sequence[int]) -> Tensor:
    """Average over a disk, as a lens out of focus does."""
    radius = radius * grid_scale(images)
    grid = (torch.arange(-64, 65, dtype=torch.float64) / 64) * radius
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    inside = x**2 + y**2 <= radius**2
    kernel = _spread(x[inside], y[inside], reach=math.ceil(radius)).to(images.device)
    return to_bytes(filter_each(to_unit(images), kernel))


def motion_blur(images: Tensor, length: float, seeds: Sequence[int]) -> Tensor:
    """Average along a line through the pixel, its direction random; one pixel long is no blur.

    The line has the variance of `length` equal pixels in a row, (length^2 - 1) / 12.
    """
    scaled = 1 + (length - 1) * grid_scale(images)
    half = math.sqrt(scaled**2 - 1) / 2
    along = torch.linspace(-half, half, 257, dtype=torch.float64)
    kernels = []
    for generator in generators(seeds):
        angle = math.pi * float(torch.rand((), generator=generator))
        kernels.append(_spread(along * math.cos(angle), along * math.sin(angle), reach=math.ceil(half)))
    return to_bytes(filter_each(to_unit(images), torch.stack(kernels).to(images.device)))


def _spread(x: Tensor, y: Tensor, reach: int) -> Tensor:
    """Kernel [2 reach + 1, 2 reach + 1] of points, each shared by its four nearest pixels."""
    side = 2 * reach + 3
    column, row = x + reach + 1, y + reach + 1
    left, top = column.floor(), row.floor()
    kernel = torch.zeros(side * side, dtype=torch.float64)
    for right in (0, 1):
        for below in (0, 1):
            share = (1 - (column - left - right).abs()) * (1 - (row - top - below).abs())
            place = (top + below) * side + left + right
            kernel.index_add_(0, place.long(), share)
    return (kernel.reshape(side, side) / kernel.sum()).to(torch.float32)
