"""Kinds 4-8: colours that bleed, slip, run out, fade or glare."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from iqa.data.synthetic.distortions.common import blur, generators, size_scale, to_bytes, to_unit
from iqa.data.synthetic.distortions.lab import lab_to_rgb, rgb_to_lab

#: The green plane moves at least a quarter as far as in the reference picture, else most levels stay under a
#: pixel.
_SMALLEST_SHIFT_SCALE = 0.25


def color_diffusion(images: Tensor, strength: float, seeds: Sequence[int]) -> Tensor:
    """Blur the a and b planes of Lab by sigma 1.5 p + 2 reference pixels and multiply them by p."""
    lab = rgb_to_lab(images)
    sigma = (1.5 * strength + 2) * size_scale(images)
    lab[:, 1:] = blur(lab[:, 1:], sigma) * strength
    return to_bytes(lab_to_rgb(lab))


def color_shift(images: Tensor, distance: float, seeds: Sequence[int]) -> Tensor:
    """Move the green plane in a random direction by `distance` reference pixels where there are edges."""
    unit = to_unit(images)
    distance *= max(size_scale(images), _SMALLEST_SHIFT_SCALE)
    height, width = images.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grids = []
    for generator in generators(seeds):
        angle = 2 * math.pi * float(torch.rand((), generator=generator))
        x = (2 * (columns + distance * math.cos(angle)) + 1) / width - 1
        y = (2 * (rows + distance * math.sin(angle)) + 1) / height - 1
        grids.append(torch.stack([x, y], dim=-1))
    green = unit[:, 1:2]
    moved = F.grid_sample(green, torch.stack(grids).to(green), padding_mode="border", align_corners=False)
    weight = _edges(unit, sigma=4 * size_scale(images))
    unit[:, 1:2] = green + weight * (moved - green)
    return to_bytes(unit)


def color_quantization(images: Tensor, colors: float, seeds: Sequence[int]) -> Tensor:
    """Show the picture in `colors` colours of its own (octree), errors diffused to the neighbours.

    KADID-10k's palette is by minimal variance. Pillow's octree comes closer to that than its median cut
    (squared error 376 against 516 at 16 colours) and is eighty times as fast.
    """
    results = []
    for picture in images.permute(0, 2, 3, 1).cpu().numpy():
        full = Image.fromarray(np.ascontiguousarray(picture))
        palette = full.quantize(int(colors), method=Image.Quantize.FASTOCTREE)
        few = full.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
        results.append(torch.from_numpy(np.array(few)))
    return torch.stack(results).permute(0, 3, 1, 2).contiguous().to(images.device)


def color_saturation_1(images: Tensor, factor: float, seeds: Sequence[int]) -> Tensor:
    """Multiply S of HSV; below 0 every colour turns into its opposite.

    With hue and value kept, a channel lies V - channel below the value V, in proportion to S: no conversion
    needed.
    """
    unit = to_unit(images)
    value = unit.amax(dim=1, keepdim=True)
    return to_bytes(value - factor * (value - unit))


def color_saturation_2(images: Tensor, factor: float, seeds: Sequence[int]) -> Tensor:
    """Multiply the a and b planes of Lab; a factor of 1 leaves the picture as it is."""
    lab = rgb_to_lab(images)
    lab[:, 1:] *= factor
    return to_bytes(lab_to_rgb(lab))


def _edges(unit: Tensor, sigma: float) -> Tensor:
    """Where the grey picture has strong gradients [B, 1, H, W]: 0 on its flattest parts, 1 on clear edges.

    Smoothed gradients from a tenth to half of the strongest one count in proportion.
    """
    grey = 0.299 * unit[:, :1] + 0.587 * unit[:, 1:2] + 0.114 * unit[:, 2:]
    dy, dx = torch.gradient(grey, dim=(2, 3))
    smooth = blur(dx.hypot(dy), sigma)
    low, high = smooth.amin(dim=(2, 3), keepdim=True), smooth.amax(dim=(2, 3), keepdim=True)
    share = (smooth - low) / (high - low).clamp_min(1e-6)
    return ((share - 0.1) / 0.4).clamp(0, 1)
