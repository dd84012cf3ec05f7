"""Squares that are cut from their picture files whenever they are asked for, where a cache of pixels has no room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqa.data.store.pictures import picture_digest
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError
from iqa.processes import in_threads

#: Pictures decoded at once on each thread, so that memory does not feel a large batch.
AT_ONCE = 32


class Images(Protocol):
    """What squares are read from: a tensor uint8 [R, 3, S, S], or what gives the same rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, 3, S, S)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor | int, /) -> Tensor: ...


class DecodedSquares:
    """The squares of picture files, decoded anew each time they are read.

    Args:
        names: of N pictures.
        read: a picture by its name, RGB; ValueError where it cannot be decoded.
        starts: int64 [N + 1]; picture n has the squares starts[n] to starts[n + 1] - 1.
        known_by: what each picture was known by when it was looked through (`picture_digest`).
        workers: threads that decode.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[str], Image.Image],
        views: ViewPolicy,
        starts: Tensor,
        known_by: Sequence[str],
        *,
        workers: int,
    ) -> None:
        self._names, self._read, self._views, self._starts = names, read, views, starts
        self._known_by, self._workers = known_by, workers
        self.shape = (int(starts[-1]), 3, views.side, views.side)
        # A batch may end within a picture, whose other squares the next one begins with.
        self._last: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor | int) -> Tensor:
        """Squares uint8 [B, 3, S, S] of rows int64 [B]; [3, S, S] of a single one.

        Raises:
            UserError: a picture is gone, or is another one by now.
        """
        if isinstance(rows, int):
            return self[torch.tensor([rows])][0]
        owners = torch.searchsorted(self._starts, rows, right=True) - 1
        found = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for picture, squares in self._decoded(owners.unique().tolist()):
            own = owners == picture
            found[own] = squares[rows[own] - self._starts[picture]]
        return found

    def _decoded(self, pictures: list[int]) -> Iterator[tuple[int, Tensor]]:
        last = self._last
        if last is not None and last[0] in pictures:
            yield last
            pictures = [each for each in pictures if each != last[0]]
        decoded = in_threads(self._decode, pictures, workers=self._workers, at_once=AT_ONCE)
        for each in zip(pictures, decoded, strict=True):
            yield each
            self._last = each

    def _decode(self, number: int) -> Tensor:
        name = self._names[number]
        try:
            picture = self._read(name)
        except ValueError as error:
            raise UserError(
                f"{name} could be read when the pictures were looked through, and cannot be now",
                got=str(error),
                fix="put it back; or start anew, and it is left out or refused as data.on_error says",
            ) from error
        if picture_digest(picture) != self._known_by[number]:
            raise UserError(
                f"{name} is not the picture that it was when the pictures were looked through",
                fix="put it back; or start anew with what is there now",
            )
        return torch.from_numpy(np.ascontiguousarray(self._views.cut(picture).transpose(0, 3, 1, 2)))
