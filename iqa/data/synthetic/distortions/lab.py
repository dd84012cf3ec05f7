"""sRGB bytes to CIE L*a*b* (D65) and back, for batches."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows of linear sRGB to XYZ (IEC 61966-2-1), each divided by the white point D65.
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
_FROM_XYZ = tuple(tuple(row) for row in torch.tensor(_TO_XYZ, dtype=torch.float64).inverse().tolist())
_EPSILON = 6 / 29


def rgb_to_lab(images: Tensor) -> Tensor:
    """uint8 sRGB [B, 3, H, W] to float32 Lab: L 0..100, a and b about -100..100."""
    value = torch.arange(256, dtype=torch.float64) / 255
    table = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = table.to(images.device, torch.float32)[images.int()]
    x, y, z = (_compress(plane) for plane in _mix(linear, _TO_XYZ))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """float32 Lab [B, 3, H, W] to sRGB in 0..1; colours that sRGB lacks are cut off."""
    y = (lab[:, 0] + 16) / 116
    xyz = torch.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], dim=1)
    xyz = torch.where(xyz > _EPSILON, xyz * xyz * xyz, 3 * _EPSILON**2 * (xyz - 4 / 29))
    linear = torch.stack(_mix(xyz, _FROM_XYZ), dim=1).clamp_(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)


def _compress(plane: Tensor) -> Tensor:
    return torch.where(plane > _EPSILON**3, plane.pow(1 / 3), plane / (3 * _EPSILON**2) + 4 / 29)


def _mix(planes: Tensor, rows: tuple[tuple[float, ...], ...]) -> list[Tensor]:
    first, second, third = planes.unbind(dim=1)
    return [first * row[0] + second * row[1] + third * row[2] for row in rows]
