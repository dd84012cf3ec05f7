"""Kinds 19-21 and 23: pixels and squares in the wrong place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iqa.data.synthetic.distortions.common import generators, grid_scale, size_scale, to_bytes, to_unit

_JITTER_ROUNDS = 5
_PATCH_SIDE = 16
_BLOCK_SIDE = 32


def jitter(images: Tensor, distance: float, seeds: Sequence[int]) -> Tensor:
    """Five times over, take every pixel from a normal random distance (in reference pixels) away."""
    height, width = images.shape[-2:]
    ys, xs = (torch.arange(side) * 2 + 1 for side in (height, width))
    still = torch.stack(torch.meshgrid(xs / width - 1, ys / height - 1, indexing="xy"), dim=-1)
    step = torch.tensor([2 / width, 2 / height]) * distance * grid_scale(images)
    moving = generators(seeds)
    unit = to_unit(images)
    for _ in range(_JITTER_ROUNDS):
        offsets = torch.stack([torch.randn((height, width, 2), generator=g) for g in moving])
        grid = (still + step * offsets).to(unit)
        unit = F.grid_sample(unit, grid, padding_mode="border", align_corners=False)
    return to_bytes(unit)


def non_eccentricity_patch(images: Tensor, count: float, seeds: Sequence[int]) -> Tensor:
    """Copy `count` squares of 16 x 16 reference pixels to places up to 16 away in x and y.

    At least 3 pixels wide and 1 away, so that small pictures show them too.
    """
    side = max(3, round(_PATCH_SIDE * size_scale(images)))
    reach = max(1, round(_PATCH_SIDE * size_scale(images)))
    changed = images.clone()
    for index, generator in enumerate(generators(seeds)):
        top, left = _corners(images, side, int(count), generator)
        moves = torch.randint(-reach, reach + 1, (2, int(count)), generator=generator)
        to_top = (top + moves[0]).clamp(0, images.shape[-2] - side)
        to_left = (left + moves[1]).clamp(0, images.shape[-1] - side)
        for y, x, to_y, to_x in zip(*(t.tolist() for t in (top, left, to_top, to_left)), strict=True):
            square = images[index, :, y : y + side, x : x + side]
            changed[index, :, to_y : to_y + side, to_x : to_x + side] = square
    return changed


def pixelate(images: Tensor, strength: float, seeds: Sequence[int]) -> Tensor:
    """Shrink by .95 - p^.6 and enlarge again, both to the nearest pixel. A ratio: the same for any size."""
    ratio = 0.95 - strength**0.6
    size = [max(1, round(side * ratio)) for side in images.shape[-2:]]
    small = F.interpolate(images, size=size, mode="nearest-exact")
    return F.interpolate(small, size=list(images.shape[-2:]), mode="nearest-exact")


def color_block(images: Tensor, count: float, seeds: Sequence[int]) -> Tensor:
    """Cover `count` random squares of 32 x 32 reference pixels, each with one random colour."""
    side = max(2, round(_BLOCK_SIDE * size_scale(images)))
    changed = images.clone()
    for index, generator in enumerate(generators(seeds)):
        top, left = _corners(images, side, int(count), generator)
        colors = torch.randint(0, 256, (int(count), 3), generator=generator).to(images)
        for y, x, color in zip(top.tolist(), left.tolist(), colors, strict=True):
            changed[index, :, y : y + side, x : x + side] = color[:, None, None]
    return changed


def _corners(images: Tensor, side: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random upper left corners of squares that lie inside the picture: rows [count] and columns [count]."""
    height, width = images.shape[-2:]
    top = torch.randint(0, height - side + 1, (count,), generator=generator)
    left = torch.randint(0, width - side + 1, (count,), generator=generator)
    return top, left
