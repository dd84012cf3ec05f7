"""Kinds 16-18, 22 and 25: pictures whose grey values go through a curve. Each is one table of 256 values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor


def brighten(images: Tensor, strength: float, seeds: Sequence[int]) -> Tensor:
    """A smooth curve through (0, 0), (.5, .5 + p/2) and (1, 1); what goes over 1 is cut off."""
    return _look_up(images, _curve([0, 0.5, 1], [0, 0.5 + strength / 2, 1]))


def darken(images: Tensor, strength: float, seeds: Sequence[int]) -> Tensor:
    """A smooth curve through (0, 0), (.5, .5 - p/2) and (1, 1)."""
    return _look_up(images, _curve([0, 0.5, 1], [0, 0.5 - strength / 2, 1]))


def mean_shift(images: Tensor, shift: float, seeds: Sequence[int]) -> Tensor:
    """Add `shift` (on 0..1) to every sample."""
    return _look_up(images, np.linspace(0, 1, 256) + shift)


def contrast_change(images: Tensor, strength: float, seeds: Sequence[int]) -> Tensor:
    """A smooth curve through (.3, .25 - p/4), (.5, .5) and (.7, .75 + p/4), black and white kept.

    At p = 0 contrast is slightly raised; people saw it (4.29 of 4.6), so the knots stand at .3 and .7 and not
    at .25 and .75, where p = 0 would be no change.
    """
    low, high = 0.25 - strength / 4, 0.75 + strength / 4
    return _look_up(images, _curve([0, 0.3, 0.5, 0.7, 1], [0, low, 0.5, high, 1]))


def quantization(images: Tensor, thresholds: float, seeds: Sequence[int]) -> Tensor:
    """Leave `thresholds` + 1 values, the best for this picture's greys (least squares, as Otsu's)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device)
    grey = (images * weights[:, None, None]).sum(dim=1).round().to(torch.uint8)
    tables = [_levels(np.bincount(g.ravel(), minlength=256), int(thresholds) + 1) for g in grey.cpu().numpy()]
    return torch.stack([_look_up(picture, table) for picture, table in zip(images, tables, strict=True)])


def _look_up(images: Tensor, curve: np.ndarray) -> Tensor:
    table = torch.from_numpy(np.round(np.clip(curve, 0, 1) * 255).astype(np.uint8))
    return table.to(images.device)[images.int()]


def _curve(x: list[float], y: list[float]) -> np.ndarray:
    """The monotone cubic (Fritsch and Carlson, 1980) through the points, at the 256 values of a byte."""
    return np.asarray(PchipInterpolator(x, y)(np.linspace(0, 1, 256)))


def _levels(histogram: np.ndarray, count: int) -> np.ndarray:
    """Table of 256 values in 0..1, at most `count` different: Lloyd's iteration from even quantiles."""
    values = np.arange(256)
    cumulative = np.cumsum(histogram)
    quantiles = (np.arange(count) + 0.5) / count * cumulative[-1]
    centres = np.searchsorted(cumulative, quantiles).astype(np.float64)
    for _ in range(20):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="right")
        mass = np.bincount(nearest, weights=histogram, minlength=count)
        total = np.bincount(nearest, weights=histogram * values, minlength=count)
        centres = np.where(mass > 0, total / np.maximum(mass, 1), centres)
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="right")
    return np.asarray(centres[nearest] / 255)
