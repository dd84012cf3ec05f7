"""Features of many squares, on disk in float16 and on a device in parts: memory does not know how many there are."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iqa.data.store.cache import reserve, sync
from iqa.errors import IqaError
from iqa.files import write_text

#: Half the room, and scores that differ less than those of two trainings of one model.
DTYPE = np.dtype("float16")
FEATURES, DONE = "features.bin", "done.json"
#: Seconds of work that a kill costs at most.
SAVE_EVERY = 20.0
#: Numbers that are read at once, about; and that components are found from: of more pictures some are drawn.
CHUNK, MOST_NUMBERS = 2**25, 2**28


class Features:
    """Rows of features [R, D] that stand side by side in files or on a device; rows are float32 when they are read.

    Args:
        parts: each [R, Di], of any type.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._parts = list(parts)
        self.shape = (len(self._parts[0]), sum(part.shape[1] for part in self._parts))

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, chosen: Tensor) -> Tensor:
        """Rows `chosen`, int64 [n]: float32 [n, D], where they lie."""
        read = [part.index_select(0, chosen.to(part.device)).float() for part in self._parts]
        return read[0] if len(read) == 1 else torch.cat(read, dim=1)

    def in_turn(self, chosen: Tensor | None = None) -> Iterator[Tensor]:
        """All rows, or those `chosen`, in order, as many at once as memory does not feel."""
        every = torch.arange(len(self)) if chosen is None else chosen
        for part in every.split(max(1, CHUNK // self.shape[1])):
            yield self.rows(part)

    def on(self, device: torch.device) -> Features:
        """The same where training reads them: a CPU reads the files, another device gets them whole."""
        return self if device.type == "cpu" else Features([part.to(device) for part in self._parts])


class Writer:
    """Writes features of squares in order into a folder, and goes on where an earlier one was killed.

    Attributes:
        done: rows that are safely on disk.
    """

    def __init__(self, folder: Path, rows: int, columns: int) -> None:
        self._folder, self._shape = folder, (rows, columns)
        self.done = self._earlier()
        if not self.done:
            reserve(folder / FEATURES, rows * columns * DTYPE.itemsize)
        self._values = _map(folder, self._shape, "r+")
        self._written, self._saved_at = self.done, time.monotonic()

    def add(self, features: Tensor) -> None:
        """The next rows [n, D]; what float16 cannot hold is held at its ends."""
        limit = float(np.finfo(DTYPE).max)
        end = self._written + len(features)
        self._values[self._written : end] = features.float().clamp(-limit, limit).cpu().numpy()
        self._written = end
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self._save()

    def finish(self) -> None:
        """All rows are there."""
        self._values.flush()
        (self._folder / DONE).unlink(missing_ok=True)

    def _save(self) -> None:
        self._values.flush()
        sync(self._folder / FEATURES)
        self._saved_at = time.monotonic()
        with contextlib.suppress(IqaError):  # the room for all features is there: only a kill would cost more
            write_text(self._folder / DONE, json.dumps({"rows": self._written, "shape": self._shape}))
            self.done = self._written

    def _earlier(self) -> int:
        """Rows that an earlier writer of the same left behind."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads((self._folder / DONE).read_text(encoding="utf-8"))
            size = (self._folder / FEATURES).stat().st_size
            if tuple(said["shape"]) == self._shape and size == self._shape[0] * self._shape[1] * DTYPE.itemsize:
                return min(int(said["rows"]), self._shape[0])
        return 0


def open_features(folder: Path, rows: int, columns: int) -> Tensor:
    """What a `Writer` has finished, float16 [rows, columns]: a part of `Features`."""
    # "c": torch wants writable memory; writes stay in this process.
    return torch.from_numpy(_map(folder, (rows, columns), "c"))


def drawn(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, the same for the same rows, ascending."""
    if len(rows) <= most:
        return rows
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most].sort().values]


def _map(folder: Path, shape: tuple[int, int], mode: str) -> np.memmap:
    return np.memmap(folder / FEATURES, dtype=DTYPE, mode=mode, shape=shape)  # type: ignore[call-overload, no-any-return]
