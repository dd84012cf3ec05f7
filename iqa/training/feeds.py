"""Feeds: what the loop trains on. Pictures for a trained backbone, cached features for a frozen one, and what the
frozen stages made of pictures for one that is trained in part.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor

from iqa.data.prepared import Batches, PixelStore
from iqa.model.backbone.stages import Stem
from iqa.model.quality import Prediction, QualityModel
from iqa.training.frozen.stems import Stems
from iqa.training.frozen.table import Features

#: What a feed's own `predict` understands, and the scores of the pictures [B], both on the device.
Batch = tuple[Any, Tensor]


class Feed(Protocol):
    """The splits of one store in batches, and how the model reads them."""

    def count(self, split: str) -> int:
        """Pictures in a split."""
        ...

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        """One square of every training picture, drawn and shuffled by the seed, without a ragged last batch."""
        ...

    def inputs(self, split: str) -> Iterator[Any]:
        """Every square of every picture of a split, in order."""
        ...

    def batches(self, split: str) -> int:
        """How many batches `inputs` gives."""
        ...

    def pool(self, split: str, values: Tensor) -> Tensor:
        """Means over each picture's squares: [V, ...] for what `inputs` gave to [N, ...]."""
        ...

    def scores(self, split: str) -> Tensor:
        """float32 [N] on the device."""
        ...

    def sorts(self, split: str, slices: int) -> Tensor:
        """int64 [V], what happened to the picture of each that `inputs` gives: its kind of distortion, where they are
        known and differ; else which of `slices` equal parts its score is in.
        """
        ...

    def predict(self, model: QualityModel, inputs: Any) -> Prediction:
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


class _StoreFeed:
    """What both feeds know of their store."""

    def __init__(self, store: PixelStore, batch_size: int, device: torch.device) -> None:
        self._batch_size, self._device = batch_size, device
        self._split = cache(lambda name: _Split(store, name, device))

    def count(self, split: str) -> int:
        return len(self._split(split))

    def batches(self, split: str) -> int:
        return -(-len(self._split(split).rows) // self._batch_size)

    def pool(self, split: str, values: Tensor) -> Tensor:
        return self._split(split).pool(values)

    def scores(self, split: str) -> Tensor:
        return self._split(split).scores

    def sorts(self, split: str, slices: int) -> Tensor:
        return self._split(split).sorts(slices)


class PixelFeed(_StoreFeed):
    """Squares, uint8 [B, 3, S, S]; in training half of them are mirrored, which leaves quality as it is.

    Args:
        flip: mirror them.
        crop: share of their side that training sees, at a random place.
    """

    def __init__(
        self, store: PixelStore, batch_size: int, device: torch.device, *, flip: bool, crop: float = 1.0
    ) -> None:
        super().__init__(store, batch_size, device)
        self._flip = flip
        self._side = round(crop * store.images.shape[-1])
        self._share = self._side / store.images.shape[-1]
        self._batches = cache(lambda name: Batches(store.images, self._split(name).rows, batch_size, device))

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        scores = split.scores[pictures.to(self._device)].split(self._batch_size)
        draws = torch.Generator().manual_seed(epoch_seed)
        for (images, _), true in zip(self._batches("train").run(squares), scores, strict=True):
            mirrored = _mirror_half(images, draws) if self._flip else images
            yield _cropped(mirrored, self._side, (2, 3), draws), true

    def inputs(self, split: str) -> Iterator[Tensor]:
        for images, _ in self._batches(split).run():
            yield images

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        prediction: Prediction = model(inputs, self._share if model.training else 1.0)
        return prediction


class StemFeed(_StoreFeed):
    """What the frozen stages of a backbone made of squares, once (see iqa.training.frozen.stems); the rest is trained.

    Args:
        stems: of every square of the store.
        flip: in training, take the mirror image of half of the squares.
        crop: share of the side of the maps that training sees, at a random place.
        mirror: judge a picture by itself and its mirror image.
    """

    def __init__(
        self,
        store: PixelStore,
        stems: Stems,
        batch_size: int,
        device: torch.device,
        *,
        flip: bool,
        crop: float,
        mirror: bool,
    ) -> None:
        super().__init__(store, batch_size, device)
        self._stems, self._flip, self._mirror = stems, flip, mirror
        self._side = round(crop * stems.maps.shape[1])
        self._features = stems.features.to(device)
        self._batches = cache(lambda name: Batches(stems.maps, self._rows(name), batch_size, device))

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        scores = split.scores[pictures.to(self._device)].split(self._batch_size)
        draws = torch.Generator().manual_seed(epoch_seed)
        chosen = squares * self._stems.views
        if self._flip:
            chosen += (torch.rand(len(chosen), generator=draws) < 0.5).long()
        for (maps, rows), true in zip(self._batches("train").run(chosen), scores, strict=True):
            yield self._stem(_cropped(maps, self._side, (1, 2), draws), rows), true

    def batches(self, split: str) -> int:
        alone = 1 if self._mirror else self._stems.views  # squares that take the place of one and its mirror image
        return -(-len(self._split(split).rows) // (alone * self._batch_size))

    def inputs(self, split: str) -> Iterator[Stem]:
        views = self._stems.views
        places = torch.arange(len(self._split(split).rows) * views)
        if not self._mirror:
            places = places[::views]
        # A picture and its mirror image stay in one batch.
        for maps, rows in self._batches(split).run(places, views * self._batch_size):
            yield self._stem(maps, rows)

    def predict(self, model: QualityModel, inputs: Stem) -> Prediction:
        return model.from_stem(inputs, self._stems.views if self._mirror and not model.training else 1)

    def _rows(self, split: str) -> Tensor:
        """All views of a split's squares, those of one square together."""
        views = self._stems.views
        return (self._split(split).rows[:, None] * views + torch.arange(views)).flatten()

    def _stem(self, maps: Tensor, rows: Tensor) -> Stem:
        return Stem(maps.permute(0, 3, 1, 2), self._features.index_select(0, rows.to(self._device)))


class FeatureFeed(_StoreFeed):
    """Features of a frozen backbone, float32 [B, D], computed once (see iqa.training.frozen.features).

    Args:
        features: [R, D], a row for each square of the store.
    """

    def __init__(self, store: PixelStore, features: Features, batch_size: int, device: torch.device) -> None:
        super().__init__(store, batch_size, device)
        self._features = features

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        rows, pictures = split.rows[squares].to(self._device), pictures.to(self._device)
        for part, owners in zip(rows.split(self._batch_size), pictures.split(self._batch_size), strict=True):
            yield self._features.rows(part), split.scores[owners]

    def inputs(self, split: str) -> Iterator[Tensor]:
        for part in self._split(split).rows.to(self._device).split(self._batch_size):
            yield self._features.rows(part)

    def split_as(self, store: PixelStore) -> FeatureFeed:
        """The same features, split as `store` splits the same pictures."""
        return FeatureFeed(store, self._features, self._batch_size, self._device)

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        return model.from_features(inputs)


def _cropped(images: Tensor, side: int, axes: tuple[int, int], draws: torch.Generator) -> Tensor:
    """A square of `side` at a random place of each of B images, whose height and width are `axes`."""
    room = images.shape[axes[0]] - side
    if not room:
        return images
    places = torch.randint(room + 1, (len(images), 2), generator=draws).tolist()
    y_axis, x_axis = axes[0] - 1, axes[1] - 1
    cut = [each.narrow(y_axis, y, side).narrow(x_axis, x, side) for each, (y, x) in zip(images, places, strict=True)]
    return torch.stack(cut)


def _mirror_half(images: Tensor, draws: torch.Generator) -> Tensor:
    mirrored = (torch.rand(len(images), generator=draws) < 0.5).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)
