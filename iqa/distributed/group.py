"""Who is who among processes that torchrun started, and what they wait for together."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from iqa.errors import IqaError, UserError

T = TypeVar("T")

#: What torchrun tells each process that it starts.
TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: For so long processes wait for each other: the first may prepare data for hours. One that dies is noticed at once.
PATIENCE = timedelta(days=7)


_BY_ITSELF: ContextVar[bool] = ContextVar("by_itself", default=False)


class EndedElsewhere(IqaError):
    """Another process has ended; it says why, and this one says nothing."""

    def __init__(self) -> None:
        super().__init__("another of the processes has ended; its own message says why")


def is_launched() -> bool:
    """Whether this is one of several processes that torchrun started."""
    return all(name in os.environ for name in TOLD) and int(os.environ["WORLD_SIZE"]) > 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not is_launched() or os.environ["RANK"] == "0"


def local_rank() -> int:
    """Number of this process among those on its machine."""
    return int(os.environ["LOCAL_RANK"]) if is_launched() else 0


def world_size() -> int:
    """How many processes share the work at hand."""
    group = _group()
    return 1 if group is None or _BY_ITSELF.get() else int(group.get_world_size())


def rank() -> int:
    """Number of this process among those that share the work at hand."""
    group = _group()
    return 0 if group is None or _BY_ITSELF.get() else int(group.get_rank())


@contextmanager
def joined() -> Iterator[None]:
    """Around what the processes that torchrun started do together; a single process, or one that has joined, goes on.

    Warnings are the first process's to give.

    Raises:
        EndedElsewhere: another process has ended before all had joined.
    """
    if not is_launched() or _group() is not None:
        yield
        return
    import torch
    import torch.distributed as dist

    if dist.is_nccl_available() and torch.cuda.is_available():
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    with others_needed():
        dist.init_process_group(backend, timeout=PATIENCE)
    own = logging.getLogger("iqa")
    level = own.level
    if not is_first():
        own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.setLevel(level)
        dist.destroy_process_group()


@contextmanager
def others_needed() -> Iterator[None]:
    """Around what takes all processes.

    Raises:
        EndedElsewhere: one of them has ended.
    """
    try:
        yield
    except RuntimeError as error:  # torch's own errors of this kind are RuntimeErrors too
        raise EndedElsewhere from error


def same(value: T) -> T:
    """The first process's value, in every process."""
    if world_size() == 1:
        return value
    import torch.distributed as dist

    held: list[Any] = [value]
    with others_needed():
        dist.broadcast_object_list(held)
    told: T = held[0]
    return told


def of_first(work: Callable[[], T]) -> T:
    """What `work` returns in the first process, in every process: it does it by itself, and the others wait."""
    if rank():
        return same(None)  # type: ignore[return-value]
    token = _BY_ITSELF.set(True)
    try:
        done = work()
    finally:
        _BY_ITSELF.reset(token)
    return same(done)


def after_first(work: Callable[[], T], meanwhile: Callable[[], object] | None = None) -> T:
    """What `work` returns in each process, done by the first one before the others: they find what it has prepared.

    Args:
        meanwhile: what the others do while the first one is at work, because it needs them.
    """
    if world_size() == 1:
        return work()
    if rank() == 0:
        done = work()
        same(None)
        return done
    if meanwhile is not None:
        meanwhile()
    same(None)
    return work()


def of_all(value: T) -> list[T]:
    """Every process's value, in order of their ranks, in every process."""
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world_size()
    with others_needed():
        dist.all_gather_object(values, value)
    return values


def require_for_all(count: int, what: str, fix: str) -> None:
    """Refuse work of which there is too little for every process.

    Raises:
        UserError: fewer than one for each.
    """
    if count < world_size():
        expected = f"one or more for each of {world_size()} processes"
        raise UserError(f"{what} cannot be divided", got=count, expected=expected, fix=fix)


def _group() -> Any:
    """torch.distributed, where this process has joined others; nothing is imported to find out."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None
