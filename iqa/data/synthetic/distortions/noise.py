"""Kinds 11-15: noise of several laws, and what a denoiser leaves. Variances on a scale of 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iqa.data.synthetic.distortions.common import normal, to_bytes, to_unit, uniform


def white_noise(images: Tensor, variance: float, seeds: Sequence[int]) -> Tensor:
    """Add normal noise to R, G and B."""
    return to_bytes(to_unit(images) + variance**0.5 * normal(images, seeds))


def white_noise_color_component(images: Tensor, variance: float, seeds: Sequence[int]) -> Tensor:
    """Add normal noise to Y, Cb and Cr (BT.601).

    The conversion is linear: the noise alone is taken back to RGB and added.
    """
    y, cb, cr = (variance**0.5 * normal(images, seeds)).unbind(dim=1)
    noise = torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], dim=1)
    return to_bytes(to_unit(images) + noise)


def impulse_noise(images: Tensor, share: float, seeds: Sequence[int]) -> Tensor:
    """Set this share of the samples of each channel to 0 or 255 (salt and pepper)."""
    draw = uniform(images, seeds)
    peppered = images.masked_fill(draw < share / 2, 0)
    return peppered.masked_fill((draw >= share / 2) & (draw < share), 255)


def multiplicative_noise(images: Tensor, variance: float, seeds: Sequence[int]) -> Tensor:
    """Add normal noise in proportion to the brightness of the sample (speckle)."""
    return to_bytes(to_unit(images) * (1 + variance**0.5 * normal(images, seeds)))


def denoise(images: Tensor, variance: float, seeds: Sequence[int]) -> Tensor:
    """Add normal noise, then remove it by a local Wiener filter (J. S. Lee, 1980) over 5 x 5 pixels.

    Flat places come out smeared, edges noisy. KADID-10k's own denoiser is a trained network.
    """
    noisy = (to_unit(images) + variance**0.5 * normal(images, seeds)).clamp(0, 1)
    padded = F.pad(noisy, (2, 2, 2, 2), mode="replicate")
    mean = F.avg_pool2d(padded, 5, stride=1)
    spread = (F.avg_pool2d(padded * padded, 5, stride=1) - mean * mean).clamp_min(1e-6)
    trust = (1 - variance / spread).clamp_min(0)
    return to_bytes(mean + trust * (noisy - mean))
