"""Mean and standard deviation of feature maps over their positions, in float32, without a float32 copy of the maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Keeps the gradient of the standard deviation finite on a flat map.
VARIANCE_EPSILON = 1e-6


def mean_std(maps: Tensor) -> Tensor:
    """Maps [B, C, ...] -> float32 [B, 2 C]: means over positions, then standard deviations."""
    pooled: Tensor = _MeanStd.apply(maps)
    return pooled


class _MeanStd(torch.autograd.Function):
    """Early maps hold millions of values: written with plain operations, pooling them took a fifth of a step of
    resnet18, most of it in copies to float32 and back.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu":
            variance, mean = torch.var_mean(_precise(maps.flatten(2)), dim=2, correction=0)
        else:
            # A picture at a time, what is computed of it stays in the cache.
            channels_last = maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last)
            moments = _batch_moments if channels_last else _plain_moments
            variance, mean = (torch.cat(each) for each in zip(*map(moments, maps.split(1)), strict=True))
        std = variance.add_(VARIANCE_EPSILON).sqrt_()
        ctx.save_for_backward(maps, mean, std)
        return torch.cat([mean, std], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """d mean / d x = 1 / N and d std / d x = (x - mean) / (N std), together slope * x + offset."""
        maps, mean, std = ctx.saved_tensors
        positions = maps[0, 0].numel()
        by_mean, by_std = gradient.chunk(2, dim=1)
        slope = by_std / (std * positions)
        offset = by_mean / positions - slope * mean
        shape = (*mean.shape, *[1] * (maps.ndim - 2))
        return torch.addcmul(offset.view(shape).to(maps.dtype), slope.view(shape).to(maps.dtype), maps)


def _batch_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of one picture's maps, each [1, C]: what batch normalisation makes of a batch of one.

    On maps whose channels lie side by side it needs less time than `_plain_moments`, the less the larger they are, and
    no copy.
    """
    precise = torch.float64 if maps.dtype == torch.float64 else torch.float32
    unused = torch.zeros(2, maps.shape[1], dtype=precise)  # their precision is the result's
    mean, variance = torch.batch_norm_update_stats(maps, unused[0], unused[1], 0.0)
    return variance[None], mean[None]


def _plain_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The same in two passes: a fifteenth of the time that torch.var_mean takes on a CPU."""
    values = _precise(maps.flatten(2))
    mean = values.mean(dim=2, keepdim=True)
    return (values - mean).square_().mean(dim=2), mean.squeeze(2)


def _precise(maps: Tensor) -> Tensor:
    return maps if maps.dtype == torch.float64 else maps.float()
