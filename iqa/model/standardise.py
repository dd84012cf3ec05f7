"""To mean 0 and variance 1: each column over pictures, or the columns of each picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Projections of an untrained network hardly vary, and are to be standardised all the same.
EPSILON = 1e-7


class Standardise(nn.BatchNorm1d):
    """[B, dim] -> [B, dim], by the batch in training and by running statistics afterwards.

    A batch of one picture, which has no spread, is standardised by the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, momentum: float | None = 0.1) -> None:
        super().__init__(dim, eps=EPSILON, affine=False, momentum=momentum)

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(values) if len(values) > 1 else self.apply_running(values)

    def apply_running(self, values: Tensor) -> Tensor:
        """[B, dim] -> [B, dim], standardised by the running statistics in training too."""
        return functional.batch_norm(values, self.running_mean, self.running_var, eps=self.eps)

    @torch.no_grad()
    def fit(self, values: Tensor) -> None:
        """Take the statistics of `values` [N, dim] as if training had settled on them; one row has none."""
        if len(values) > 1:
            variance, mean = torch.var_mean(values.float(), dim=0)
            self.running_mean.copy_(mean)
            self.running_var.copy_(variance)


class SettledScale(Standardise):
    """Standardisation by what the first batches of a training showed, which then stays as it is.

    A network's features differ in scale by orders of magnitude, and normalised together the largest would be heard
    alone. Statistics that followed the batches for good would let their chance into every score.

    Args:
        dim: columns of the input.
        settling: training batches that are looked at.
    """

    def __init__(self, dim: int, settling: int = 16) -> None:
        # Without a momentum the running statistics are plain averages over the batches.
        super().__init__(dim, momentum=None)
        self.settling = settling
        self._settled = False

    def forward(self, values: Tensor) -> Tensor:
        """[B, dim] -> float32 [B, dim], in training too by the running statistics."""
        values = values.float()
        if self.training and not self._settled:
            # A look at the device, and so a wait for it, in the first batches only.
            self._settled = int(self.num_batches_tracked or 0) >= self.settling
            if not self._settled:
                super().forward(values.detach())
        return self.apply_running(values)


class NormaliseParts(nn.Module):
    """Each picture's columns [B, D] -> float32 [B, D], those of each part to mean 0 and variance 1 by themselves.

    Args:
        widths: columns of the parts, in order; together D.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)

    def forward(self, values: Tensor) -> Tensor:
        parts = values.float().split(self.widths, dim=-1)
        return torch.cat([functional.layer_norm(part, part.shape[-1:]) for part in parts], dim=-1)
