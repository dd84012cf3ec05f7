"""Batches on the device: from its own memory where the squares fit, else prefetched from where they are read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import torch

from iqa.data.store.stream import Images
from iqa.distributed.sharing import own_part

#: Squares, uint8 [B, 3, S, S], or what is kept of each, on the device; and their rows in the store's images, int64
#: [B] on the CPU.
Batch = tuple[torch.Tensor, torch.Tensor]

#: Pictures stay on a GPU where they take less than this share of its free memory.
RESIDENT_SHARE = 0.4
#: Batches that the background thread is ahead.
AHEAD = 3


class Batches:
    """Some squares of a store in batches on a device, pass after pass.

    Args:
        images: uint8 [R, 3, S, S], the squares of a store, or anything else of which there is one per row.
        rows: int64 [n], those of them that are wanted.
        batch_size: squares per batch.
        device: where batches shall be.
        resident: keep all squares on the device; None decides by its free memory (a CPU reads them where they are).
        divided: of several processes, each gets its own part of every batch.
    """

    def __init__(
        self,
        images: Images,
        rows: torch.Tensor,
        batch_size: int,
        device: torch.device | str,
        *,
        resident: bool | None = None,
        divided: bool = False,
    ) -> None:
        self._divided = divided
        self._images = images
        self._rows = rows.cpu()
        self._batch_size = batch_size
        self._device = torch.device(device)
        if resident is None:
            size = len(rows) * images[0].nbytes
            resident = self._device.type != "cpu" and size < RESIDENT_SHARE * _free_memory(self._device)
        self._resident = self._move() if resident else None

    def run(
        self, order: torch.Tensor | None = None, batch_size: int | None = None, *, together: int = 1
    ) -> Iterator[Batch]:
        """One pass over the places `order`, int64 [m] on the CPU, in `rows`; None: over all as they stand.

        Args:
            together: so many places in turn are of one picture, which no division takes apart.
        """
        places = torch.arange(len(self._rows)) if order is None else order
        own = [self._own(part, together) for part in places.split(batch_size or self._batch_size)]
        parts = [self._rows[part] for part in own]
        if self._resident is not None:
            # One copy per pass, so that no batch waits for the host.
            on_device = torch.cat([*own, places[:0]]).to(self._device).split([len(part) for part in own])
            for rows, there in zip(parts, on_device, strict=True):
                yield self._resident[there], rows
        elif self._device.type == "cpu":
            for rows in parts:
                yield self._images[rows], rows
        else:
            yield from zip(_prefetch(self._images, parts, self._device), parts, strict=True)

    def _own(self, places: torch.Tensor, together: int) -> torch.Tensor:
        return own_part(places.view(-1, together)).flatten() if self._divided else places

    def _move(self) -> torch.Tensor:
        """All squares on the device, copied in portions: the host never holds them all."""
        shape = (len(self._rows), *self._images.shape[1:])
        resident = torch.empty(shape, dtype=self._images[0].dtype, device=self._device)
        for portion in torch.arange(len(self._rows)).split(1024):
            resident[portion[0] : portion[-1] + 1] = self._images[self._rows[portion]].to(self._device)
        return resident


def _free_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return 0.0


def _prefetch(images: Images, parts: list[torch.Tensor], device: torch.device) -> Iterator[torch.Tensor]:
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
