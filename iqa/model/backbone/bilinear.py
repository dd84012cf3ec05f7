"""Which channels of a feature map are strong together: second-order pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Directions that the channels of a wide map are seen in; their products are half as many as the square of it.
WIDTH = 32
_EPSILON = 1e-6  # keeps the gradient of a root finite


class Bilinear(nn.Module):
    """Maps [B, C, ...] -> float32 [B, w (w + 1) / 2], the covariances of w = min(C, WIDTH) channels over positions.

    A mean and a spread tell how much there is of what a channel sees, a covariance whether two channels see it at the
    same place, as with a texture and the noise on it. Each covariance counts by its signed root, and the root mean
    square of a picture's is 1 (bilinear pooling: Lin, RoyChowdhury, Maji, ICCV 2015). Of more than WIDTH channels, as
    many random orthonormal mixtures are taken in their place (Gao et al., Compact bilinear pooling, CVPR 2016, project
    too, in another way); the mixtures are part of the state dict.

    Args:
        channels: C.
    """

    directions: Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = min(channels, WIDTH)
        mixed = None
        if channels > WIDTH:
            random = torch.Generator().manual_seed(channels)
            mixed = torch.linalg.qr(torch.randn(channels, WIDTH, generator=random))[0]
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
