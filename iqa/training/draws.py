"""Which square of each picture an epoch sees and in which order, and how it is cropped and mirrored."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from iqa.data.prepared import PixelStore
from iqa.distributed.sharing import own_part


class Split:
    """The pictures of a split, with the squares cut from each.

    Attributes:
        rows: int64 [V], the squares in the store, picture after picture.
        scores: float32 [N] on the device.
    """

    def __init__(self, store: PixelStore, split: str, device: torch.device) -> None:
        pictures = store.indices(split)
        self.rows, owner = store.squares(pictures)
        self.scores = store.scores[pictures].to(device)
        self._counts = torch.bincount(owner, minlength=len(pictures))
        self._first = self._counts.cumsum(0) - self._counts
        self._owner = owner.to(device)
        self._kinds = store.manifest["kind"].iloc[pictures.numpy()]

    def __len__(self) -> int:
        return len(self.scores)

    def draw(self, seed: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Pictures in random order and one square of each: places in `scores` and in `rows`, whole batches only."""
        random = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=random)
        order = order[: len(order) // batch_size * batch_size or len(order)]
        if len(self.rows) == len(self):
            return order, order
        chosen = (torch.rand(len(order), generator=random) * self._counts[order]).long()
        return order, self._first[order] + chosen

    def pool(self, values: Tensor) -> Tensor:
        if len(values) == len(self):
            return values
        sums = values.new_zeros(len(self), *values.shape[1:]).index_add_(0, self._owner, values)
        counts = self._counts.to(values.device).view(-1, *[1] * (values.ndim - 1))
        return sums / counts

    def sorts(self, slices: int) -> Tensor:
        sorts = torch.from_numpy(pd.factorize(self._kinds)[0])
        if not sorts.any():
            order = self.scores.cpu().argsort(stable=True).argsort()
            sorts = order * slices // len(self)
        return sorts[self._owner.cpu()]


def cropped(images: Tensor, side: int, axes: tuple[int, int], total: int, draws: torch.Generator) -> Tensor:
    """A square of `side` at a random place of each of a batch's images, whose height and width are `axes`.

    Args:
        images: this process's share of them.
        total: how many the batch has.
    """
    room = images.shape[axes[0]] - side
    if not room:
        return images
    places = own_part(torch.randint(room + 1, (total, 2), generator=draws)).tolist()
    y_axis, x_axis = axes[0] - 1, axes[1] - 1
    cut = [each.narrow(y_axis, y, side).narrow(x_axis, x, side) for each, (y, x) in zip(images, places, strict=True)]
    return torch.stack(cut)


def mirrored(images: Tensor, total: int, draws: torch.Generator) -> Tensor:
    """About half of a batch's images mirrored; arguments as for `cropped`."""
    chosen = own_part(torch.rand(total, generator=draws) < 0.5).to(images.device, non_blocking=True)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)
