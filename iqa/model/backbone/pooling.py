"""What a backbone keeps of its feature maps: statistics over positions, one row per picture."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn

#: Of the weights of positions, in half sides of the picture: at the middle of an edge, a seventh of the centre's.
CENTRE_WIDTH = 0.5
#: Directions that the channels of a wide map are seen in; their products are half as many as the square of it.
BILINEAR_WIDTH = 32
#: Keeps the gradient of the standard deviation finite on a flat map.
VARIANCE_EPSILON = 1e-6
_EPSILON = 1e-6  # the same for the roots of covariances


class Pooling(nn.Module):
    """Feature maps, each [B, C, H, W] or [B, C, positions] -> float32 [B, D], the maps' statistics side by side.

    Args:
        kind: "mean" of each channel; "mean_std", its standard deviation too; "bilinear", also how channels vary
            together (`Bilinear`).
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


def mean_std(maps: Tensor) -> Tensor:
    """Maps [B, C, ...] -> float32 [B, 2 C]: means over positions, then standard deviations; float64 of float64."""
    values = maps.flatten(2)
    values = values if values.dtype == torch.float64 else values.float()
    mean = values.mean(dim=2, keepdim=True)
    # In two passes: a CPU takes fifteen times as long for torch.var_mean.
    variance = (values - mean).square().mean(dim=2)
    return torch.cat([mean.squeeze(2), (variance + VARIANCE_EPSILON).sqrt()], dim=1)


class Bilinear(nn.Module):
    """Maps [B, C, ...] -> float32 [B, w (w + 1) / 2], covariances over positions of w = min(C, BILINEAR_WIDTH) of them.

    A mean and a spread tell how much there is of what a channel sees, a covariance whether two channels see it at the
    same place, as with a texture and the noise on it. Each covariance counts by its signed root, and the root mean
    square of a picture's is 1 (bilinear pooling: Lin, RoyChowdhury, Maji, ICCV 2015). Of more than BILINEAR_WIDTH
    channels, as many random orthonormal mixtures are taken in their place (Gao et al., Compact bilinear pooling, CVPR
    2016, project too, in another way); the mixtures are part of the state dict.

    Args:
        channels: C.
    """

    directions: Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = min(channels, BILINEAR_WIDTH)
        mixed = None
        if channels > BILINEAR_WIDTH:
            random = torch.Generator().manual_seed(channels)
            mixed = torch.linalg.qr(torch.randn(channels, BILINEAR_WIDTH, generator=random))[0]
        self.register_buffer("directions", mixed)

    def forward(self, maps: Tensor) -> Tensor:
        values = maps.flatten(2).float()
        if self.directions is not None:
            values = self.directions.T @ values
        values = values - values.mean(dim=2, keepdim=True)
        covariance = values @ values.transpose(1, 2) / values.shape[2]
        first, second = torch.triu_indices(self.width, self.width, device=maps.device)
        products = covariance[:, first, second]
        roots = products / (products.abs() + _EPSILON).sqrt()
        return roots / (roots.square().mean(dim=1, keepdim=True) + _EPSILON).sqrt()


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
