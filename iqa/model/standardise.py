"""Standardisation to mean 0 and variance 1, by the batch in training and by running statistics afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-7  # projections of an untrained network hardly vary, and are to be standardised all the same


class Standardise(nn.Module):
    """Batch normalisation without scale and shift, for the few numbers that the mixture works on.

    It differs from `nn.BatchNorm1d(affine=False)` in three ways. The running statistics start as plain
    averages, so they are right after the first few batches; a batch of one picture, which has no spread, is
    standardised by the running statistics; the computation is float32 whatever comes in.

    Args:
        dim: columns of the input.
        momentum: weight of a new batch in the running statistics, once 1 / momentum batches have been seen.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, dim: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        """[B, dim] -> float32 [B, dim]."""
        values = values.float()
        if not self.training or len(values) < 2:
            return self.apply_running(values)
        variance, mean = torch.var_mean(values, dim=0, correction=0)
        self._remember(mean.detach(), variance.detach() * (len(values) / (len(values) - 1)))
        return (values - mean) / torch.sqrt(variance + _EPSILON)

    def apply_running(self, values: Tensor) -> Tensor:
        """[B, dim] -> [B, dim], standardised by the running statistics in training too."""
        return (values - self.mean) / torch.sqrt(self.variance + _EPSILON)

    @torch.no_grad()
    def fit(self, values: Tensor) -> None:
        """Take the statistics of `values` [N, dim] as if training had settled on them; no-op for N < 2."""
        if len(values) < 2:
            return
        variance, mean = torch.var_mean(values.float(), dim=0, correction=1)
        self.mean.copy_(mean)
        self.variance.copy_(variance)
        self.batches.fill_(1 / self.momentum)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        self.batches.add_(1)
        weight = self._weight()
        self.mean.lerp_(mean, weight)
        self.variance.lerp_(variance, weight)

    def _weight(self) -> Tensor:
        """Of the last batch in the running statistics; stays on the device."""
        return (1 / self.batches).clamp(min=self.momentum)


class SettledScale(Standardise):
    """Standardisation by what the first batches of a training showed, which then stays as it is.

    A network's features differ in scale by orders of magnitude, and normalised together the largest would be heard
    alone. Statistics that followed the batches for good would let their chance into every score.

    Args:
        dim: columns of the input.
        settling: training batches that are looked at.
    """

    def __init__(self, dim: int, settling: int = 16) -> None:
        super().__init__(dim)
        self.settling = settling

    def forward(self, values: Tensor) -> Tensor:
        """[B, dim] -> float32 [B, dim]."""
        values = values.float()
        if self.training and len(values) > 1:
            variance, mean = torch.var_mean(values.detach(), dim=0)
            self._remember(mean, variance)
        return self.apply_running(values)

    def _weight(self) -> Tensor:
        """A plain average while it settles, then nothing."""
        return (self.batches <= self.settling) / self.batches
