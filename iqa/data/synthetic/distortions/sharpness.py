"""Kind 24: too much sharpening."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from iqa.data.synthetic.distortions.common import blur, grid_scale, to_bytes
from iqa.data.synthetic.distortions.lab import lab_to_rgb, rgb_to_lab


def high_sharpen(images: Tensor, gain: float, seeds: Sequence[int]) -> Tensor:
    """Unsharp mask on L of Lab: add `gain` times what a gaussian of sigma 1 reference pixel takes away."""
    lab = rgb_to_lab(images)
    light = lab[:, :1]
    lab[:, :1] = (light + gain * (light - blur(light, grid_scale(images)))).clamp(0, 100)
    return to_bytes(lab_to_rgb(lab))
