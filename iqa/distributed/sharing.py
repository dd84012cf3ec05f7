"""What processes share of one batch: its pictures, their features, its statistics and its gradients.

Each process sends its own pictures through the backbone. Their features are gathered, and everything after the backbone
sees the whole batch in every process: heads, mixture, and a loss that is a correlation over the batch. What flows back
is the gradient of that one loss by a process's own features, so the backbone's gradients add up to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from iqa.distributed.group import others_needed, rank, world_size


def own_part(rows: Tensor) -> Tensor:
    """This process's part of a batch [B, ...]: as many rows as the others have, or one fewer, in order.

    Where there are fewer rows than processes, one that is left over takes the first row; `gathered` drops it.
    """
    if world_size() == 1:
        return rows
    part = rows.tensor_split(world_size())[rank()]
    return part if len(part) else rows[:1]


def gathered(own: Tensor, total: int) -> Tensor:
    """The whole batch [B, ...] from every process's `own_part` of it; gradients go back to a process's own rows alone.

    Args:
        total: B.
    """
    if world_size() == 1:
        return own
    sizes = [len(part) for part in torch.arange(total).tensor_split(world_size())]
    # All send as many rows: the longest part's.
    sent = own.new_zeros(max(sizes), *own.shape[1:])
    sent[: len(own)] = own.detach()
    parts = [torch.empty_like(sent) for _ in sizes]
    with others_needed():
        dist.all_gather(parts, sent)
    parts[rank()] = own
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def add_gradients(backbone: Iterable[nn.Parameter], others: Iterable[nn.Parameter]) -> None:
    """After a step back: the backbone's gradients are added up over the processes.

    All others are the same in every process, and their mean is taken so that rounding does not drive them apart.
    """
    if world_size() == 1:
        return
    parts = [each.grad for each in backbone if each.grad is not None]
    alike = [each.grad for each in others if each.grad is not None]
    for gradient in alike:
        gradient /= world_size()
    _in_one([*parts, *alike], lambda flat: dist.all_reduce(flat))


def align(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values, in place."""
    if world_size() > 1:
        _in_one([_as_number(each.detach()) for each in tensors], lambda flat: dist.broadcast(flat, 0))


def _in_one(tensors: Sequence[Tensor], exchange: Callable[[Tensor], object]) -> None:
    """Exchange tensors as one for each type: a message has its price, however short it is."""
    for kind in dict.fromkeys(each.dtype for each in tensors):  # in the same order everywhere
        own = [each for each in tensors if each.dtype == kind]
        flat = torch.cat([each.flatten() for each in own])
        with others_needed():
            exchange(flat)
        parts = flat.split([each.numel() for each in own])
        for each, part in zip(own, parts, strict=True):
            each.copy_(part.view_as(each))


def _as_number(tensor: Tensor) -> Tensor:
    """The same memory, of a type that every backend sends."""
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
