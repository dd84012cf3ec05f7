"""Batches on the device: from its own memory where the pictures fit, else prefetched from the memory map."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from iqa.data.pixels import PixelStore

#: uint8 [B, 3, S, S] and float32 [B] on the device, int64 [B] row numbers of the store on the CPU.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

#: Pictures stay on a GPU where they take less than this share of its free memory.
RESIDENT_SHARE = 0.4
#: Batches that the background thread is ahead.
AHEAD = 3


class Batches:
    """The pictures `indices` of a store, in batches on a device, epoch after epoch.

    Args:
        store: the pictures.
        indices: int64 [n], rows of the store.
        batch_size: pictures per batch.
        device: where images and scores shall be.
        drop_last: leave out a last batch that is not full.
        resident: keep all pictures on the device; None decides by its free memory (a CPU
            reads the map itself).
    """

    def __init__(
        self,
        store: PixelStore,
        indices: torch.Tensor,
        batch_size: int,
        device: torch.device | str,
        *,
        drop_last: bool = False,
        resident: bool | None = None,
    ) -> None:
        self._images = store.images
        self._indices = indices.cpu()
        self._batch_size = batch_size
        self._device = torch.device(device)
        self._drop_last = drop_last
        self._scores = store.scores[self._indices].to(self._device)
        if resident is None:
            size = len(indices) * store.images[0].numel()
            resident = self._device.type != "cpu" and size < RESIDENT_SHARE * _free_memory(self._device)
        self._resident = self._move() if resident else None

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self._indices), self._batch_size)
        return whole if self._drop_last or not rest else whole + 1

    def epoch(self, shuffle_seed: int | None = None) -> Iterator[Batch]:
        """One pass; the order follows from `shuffle_seed` alone, None keeps that of `indices`."""
        places = torch.arange(len(self._indices))
        if shuffle_seed is not None:
            places = torch.randperm(len(places), generator=torch.Generator().manual_seed(shuffle_seed))
        # One copy per epoch, so that no batch waits for the host.
        on_device = places.to(self._device)
        batches = list(zip(places.split(self._batch_size), on_device.split(self._batch_size), strict=True))
        batches = batches[: len(self)]
        if self._resident is not None:
            for here, there in batches:
                yield self._resident[there], self._scores[there], self._indices[here]
        elif self._device.type == "cpu":
            for here, _ in batches:
                yield self._images[self._indices[here]], self._scores[here], self._indices[here]
        else:
            images = _prefetch(self._images, [self._indices[here] for here, _ in batches], self._device)
            for (here, there), picture in zip(batches, images, strict=True):
                yield picture, self._scores[there], self._indices[here]

    def _move(self) -> torch.Tensor:
        """All pictures on the device, copied in portions: the host never holds them all."""
        shape = (len(self._indices), *self._images.shape[1:])
        resident = torch.empty(shape, dtype=torch.uint8, device=self._device)
        for portion in torch.arange(len(self._indices)).split(1024):
            resident[portion[0] : portion[-1] + 1] = self._images[self._indices[portion]].to(self._device)
        return resident


def iter_batches(
    store: PixelStore,
    indices: torch.Tensor,
    batch_size: int,
    device: torch.device | str,
    shuffle_seed: int | None = None,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """A single pass over some pictures; `Batches` keeps them on the device between passes."""
    return Batches(store, indices, batch_size, device, drop_last=drop_last).epoch(shuffle_seed)


def _free_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return 0.0


def _prefetch(images: torch.Tensor, parts: list[torch.Tensor], device: torch.device) -> Iterator[torch.Tensor]:
    """Copy `images[part]` to the device from a background thread, a few parts ahead of the consumer."""
    ready: queue.Queue[tuple[torch.Tensor, torch.cuda.Event | None] | Exception] = queue.Queue(AHEAD)
    stopped = threading.Event()
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def put(item: tuple[torch.Tensor, torch.cuda.Event | None] | Exception) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for part in parts:
                if stopped.is_set():
                    return
                put(_copy(images[part], device, stream))
        except Exception as error:
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in parts:
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            picture, copied = item
            if copied is not None:
                torch.cuda.current_stream(device).wait_event(copied)
                # Its memory belongs to the copying stream: not to be reused while this stream reads it.
                picture.record_stream(torch.cuda.current_stream(device))
            yield picture
    finally:
        stopped.set()
        thread.join()


def _copy(
    picture: torch.Tensor, device: torch.device, stream: torch.cuda.Stream | None
) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    if stream is None:
        return picture.to(device), None
    with torch.cuda.stream(stream):
        # Pinned memory lets the copy run beside the computation.
        moved = picture.pin_memory().to(device, non_blocking=True)
        return moved, stream.record_event()
