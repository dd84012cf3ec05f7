"""What several distortions need: scales, seeds, conversions and filters.

Nothing here lets one picture's result depend on the pictures around it: arithmetic is element by element, and
convolutions, whose order of summation may change with the size of the batch, run picture by picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Short side in pixels of the pictures that people scored (512 x 384); pixel-sized parameters hold for it.
REFERENCE_SIDE = 384
#: Blurs and the like shrink with the picture to three quarters and no further: the same scene on fewer pixels
#: has finer detail in each, and far below that most levels would fall under a pixel and change nothing.
#: Chosen on Kodak pictures by HaarPSI per cell against the human means (SRCC at 224 px / 32 px): .911/.907
#: with a floor of one half, .932/.931 with three quarters.
SMALLEST_GRID_SCALE = 0.75


def size_scale(images: Tensor) -> float:
    """Short side relative to the reference: for what covers a share of the picture (squares, shifts)."""
    return min(images.shape[-2:]) / REFERENCE_SIDE


def grid_scale(images: Tensor) -> float:
    """As `size_scale`, but at least three quarters: for what acts between neighbours (blur, jitter)."""
    return max(size_scale(images), SMALLEST_GRID_SCALE)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator per picture, on the CPU so that every device gets the same random numbers."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def normal(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Standard normal numbers, float32, of the shape of `images`, from each picture's own seed."""
    shape = images.shape[1:]
    return torch.stack([torch.randn(shape, generator=g) for g in generators(seeds)]).to(images.device)


def uniform(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Numbers in [0, 1), float32, of the shape of `images`, from each picture's own seed."""
    shape = images.shape[1:]
    return torch.stack([torch.rand(shape, generator=g) for g in generators(seeds)]).to(images.device)


def to_unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.to(torch.float32) / 255


def to_bytes(unit: Tensor) -> Tensor:
    """float 0..1 to uint8 0..255, rounded, with what lies outside cut off."""
    return unit.clamp(0, 1).mul(255).round_().to(torch.uint8)


def gaussian_weights(sigma: float) -> Tensor:
    """Gaussian averaged over each pixel's width: a sigma of a fraction of a pixel keeps its meaning."""
    radius = max(1, int(3 * sigma + 1))
    edges = torch.arange(-radius, radius + 2, dtype=torch.float64) - 0.5
    below = 0.5 * (1 + torch.erf(edges / (max(sigma, 1e-6) * 2**0.5)))
    weights = below.diff()
    return (weights / weights.sum()).to(torch.float32)


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of float planes [B, C, H, W] with `sigma` in pixels; edges are continued."""
    weights = gaussian_weights(sigma).to(planes.device)
    return filter_each(filter_each(planes, weights[:, None]), weights[None, :])


def filter_each(planes: Tensor, kernel: Tensor) -> Tensor:
    """Correlate each plane of [B, C, H, W] with a kernel [h, w] for all, or [B, h, w] for each picture."""
    kernels = kernel.expand(len(planes), *kernel.shape[-2:])
    height, width = kernel.shape[-2:]
    padding = (width // 2, width // 2, height // 2, height // 2)
    filtered = torch.empty_like(planes)
    for index, (picture, own) in enumerate(zip(planes, kernels, strict=True)):
        padded = F.pad(picture[:, None], padding, mode="replicate")
        filtered[index] = F.conv2d(padded, own[None, None])[:, 0]
    return filtered
