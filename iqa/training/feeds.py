"""Feeds: what the loop trains on. Pictures for a trained backbone, cached features for a frozen one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from iqa.data.pixels import Batches, PixelStore
from iqa.model.quality import Prediction, QualityModel

#: Inputs of the model and the scores of their pictures [B], both on the device.
Batch = tuple[Tensor, Tensor]


class Feed(Protocol):
    """The splits of one store in batches, and how the model reads them."""

    def count(self, split: str) -> int:
        """Pictures in a split."""
        ...

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        """One square of every training picture, drawn and shuffled by the seed, without a ragged last batch."""
        ...

    def inputs(self, split: str) -> Iterator[Tensor]:
        """Every square of every picture of a split, in order."""
        ...

    def pool(self, split: str, values: Tensor) -> Tensor:
        """Means over each picture's squares: [V, ...] for what `inputs` gave to [N, ...]."""
        ...

    def scores(self, split: str) -> Tensor:
        """float32 [N] on the device."""
        ...

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        """What the model says of a batch's inputs."""
        ...


class _Split:
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


class _StoreFeed:
    """What both feeds know of their store."""

    def __init__(self, store: PixelStore, batch_size: int, device: torch.device) -> None:
        self._batch_size, self._device = batch_size, device
        self._split = cache(lambda name: _Split(store, name, device))

    def count(self, split: str) -> int:
        return len(self._split(split))

    def pool(self, split: str, values: Tensor) -> Tensor:
        return self._split(split).pool(values)

    def scores(self, split: str) -> Tensor:
        return self._split(split).scores


class PixelFeed(_StoreFeed):
    """Squares, uint8 [B, 3, S, S]; in training half of them are mirrored, which leaves quality as it is."""

    def __init__(self, store: PixelStore, batch_size: int, device: torch.device, *, flip: bool) -> None:
        super().__init__(store, batch_size, device)
        self._flip = flip
        self._batches = cache(lambda name: Batches(store.images, self._split(name).rows, batch_size, device))

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        scores = split.scores[pictures.to(self._device)].split(self._batch_size)
        draws = torch.Generator().manual_seed(epoch_seed)
        for (images, _), true in zip(self._batches("train").run(squares), scores, strict=True):
            yield _mirror_half(images, draws) if self._flip else images, true

    def inputs(self, split: str) -> Iterator[Tensor]:
        for images, _ in self._batches(split).run():
            yield images

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        prediction: Prediction = model(inputs)
        return prediction


class FeatureFeed(_StoreFeed):
    """Features of a frozen backbone, float32 [B, D], computed once (see iqa.training.features).

    Args:
        features: [R, D], a row for each square of the store.
    """

    def __init__(self, store: PixelStore, features: Tensor, batch_size: int, device: torch.device) -> None:
        super().__init__(store, batch_size, device)
        self._features = features.to(device)

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        rows, pictures = split.rows[squares].to(self._device), pictures.to(self._device)
        for part, owners in zip(rows.split(self._batch_size), pictures.split(self._batch_size), strict=True):
            yield self._features[part], split.scores[owners]

    def inputs(self, split: str) -> Iterator[Tensor]:
        for part in self._split(split).rows.to(self._device).split(self._batch_size):
            yield self._features[part]

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        return model.from_features(inputs)


def _mirror_half(images: Tensor, draws: torch.Generator) -> Tensor:
    mirrored = (torch.rand(len(images), generator=draws) < 0.5).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)
