"""What a backbone keeps of its feature maps: statistics over positions, one row per picture."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn

from iqa.model.backbone.bilinear import Bilinear
from iqa.model.backbone.moments import VARIANCE_EPSILON, mean_std

#: Of the weights of positions, in half sides of the picture: at the middle of an edge, a seventh of the centre's.
CENTRE_WIDTH = 0.5


class Pooling(nn.Module):
    """Feature maps, each [B, C, H, W] or [B, C, positions] -> float32 [B, D], the maps' statistics side by side.

    Args:
        kind: "mean" of each channel; "mean_std", its standard deviation too; "bilinear", also how channels vary
            together (`iqa.model.backbone.bilinear`).
        centre: mean and standard deviation also with positions weighted to the picture's centre.

    Attributes:
        name: says what it computes, for the recipe of a cache.
    """

    def __init__(self, kind: Literal["mean", "mean_std", "bilinear"], *, centre: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.centre = centre
        self.bilinear = nn.ModuleDict()  # by the number of channels
        self.name = f"{kind}+centre" if centre else kind

    def prepare(self, channels: Iterable[int]) -> None:
        """Make what maps of these numbers of channels need."""
        if self.kind == "bilinear":
            self.bilinear.update({str(width): Bilinear(width) for width in sorted(set(channels))})

    def forward(self, maps: list[Tensor]) -> Tensor:
        with torch.autocast(maps[0].device.type, enabled=False):
            return torch.cat([part for each in maps for part in self._statistics(each)], dim=1)

    def _statistics(self, feature_map: Tensor) -> list[Tensor]:
        if self.kind == "mean":
            parts = [feature_map.float().mean(dim=tuple(range(2, feature_map.ndim)))]
        else:
            parts = [mean_std(feature_map)]
        if self.kind == "bilinear":
            parts.append(self.bilinear[str(feature_map.shape[1])](feature_map))
        if self.centre:
            parts.append(centre_mean_std(feature_map))
        return parts


def centre_mean_std(maps: Tensor) -> Tensor:
    """Maps [B, C, H, W] -> float32 [B, 2 C]: means, then standard deviations, with a Gaussian's weights.

    People look at the middle of a picture first (Tatler, Journal of Vision 7(14), 2007), so what is there may count for
    more in their score. Positions in a row, [B, C, positions], are taken for those of a square.
    """
    values = maps.flatten(2).float()
    height, width = maps.shape[2:] if maps.ndim == 4 else (isqrt(maps.shape[2]),) * 2
    weights = torch.outer(_bell(height, maps.device), _bell(width, maps.device)).flatten()
    mean = values @ weights
    variance = (values - mean[..., None]).square() @ weights
    return torch.cat([mean, (variance + VARIANCE_EPSILON).sqrt()], dim=1)


def _bell(count: int, device: torch.device) -> Tensor:
    """Weights of `count` rows or columns, the sum of which is 1."""
    places = torch.linspace(-1, 1, count, device=device) if count > 1 else torch.zeros(1, device=device)
    bell = torch.exp(-places.square() / (2 * CENTRE_WIDTH**2))
    return bell / bell.sum()
