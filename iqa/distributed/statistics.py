"""Batch normalisation over the pictures of all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from iqa.distributed.group import others_needed, rank, world_size


@contextmanager
def joint_statistics() -> Iterator[None]:
    """Let batch normalisation in training go by the pictures of all processes."""
    if world_size() == 1:
        yield
        return
    with _JointBatchNorm():
        yield


class _JointBatchNorm(TorchFunctionMode):
    """Takes the place of `torch.nn.functional.batch_norm` in training, whatever module calls it.

    torch.nn.SyncBatchNorm does the same on GPUs alone, and takes the place of modules, of which timm has its own kinds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is nn.functional.batch_norm and given.get("training"):
            return _batch_norm(*args, **given)
        return func(*args, **given)


def _batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm` in training, of inputs [B, C, ...] whose B are the pictures of all processes.

    Means and variances of parts are put together as by Chan, Golub and LeVeque (The American Statistician 37, 1983).
    """
    values = inputs.float()
    variance, mean = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
    count = torch.full_like(mean, values.numel() / len(mean))
    counts, means, variances = _of_all(torch.stack([count, mean, variance])).unbind(1)
    total = counts.sum(0)
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean).square())).sum(0) / total
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * total / (total - 1), momentum)
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    across = (1, -1, *[1] * (values.ndim - 2))
    return (values * scale.view(across) + shift.view(across)).to(inputs.dtype)


def _of_all(own: Tensor) -> Tensor:
    """Every process's `own` [...], as [processes, ...]; what flows back to a process is what all of them made of it."""
    every = own.new_zeros(world_size(), *own.shape)
    every[rank()] = own
    summed: Tensor = _Sum.apply(every)
    return summed


class _Sum(torch.autograd.Function):
    """The sum over processes; as each of them goes on with it, so is its gradient.

    torch has none that it keeps: torch.distributed.nn.functional.all_reduce is deprecated for a private module.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone()
    with others_needed():
        dist.all_reduce(total)
    return total
