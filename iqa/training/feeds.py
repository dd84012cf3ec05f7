"""Feeds: what the loop trains on. Pictures for a trained backbone, cached features for a frozen one, and what the
frozen stages made of pictures for one that is trained in part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from iqa.data.prepared import Batches, PixelStore
from iqa.distributed.sharing import gathered
from iqa.distributed.statistics import joint_statistics
from iqa.model.backbone.stages import Stem
from iqa.model.quality import Prediction, QualityModel
from iqa.training.draws import Split, cropped, mirrored
from iqa.training.frozen.stems import Stems
from iqa.training.frozen.table import Features

#: What a feed's own `predict` understands, and the scores of the pictures [B], both on the device.
Batch = tuple[Any, Tensor]


class Share(NamedTuple):
    """What this process sees of a batch, and how many pictures the batch has in all."""

    own: Any
    total: int


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


class _StoreFeed:
    """What both feeds know of their store."""

    def __init__(self, store: PixelStore, batch_size: int, device: torch.device) -> None:
        self._batch_size, self._device = batch_size, device
        self._split = cache(lambda name: Split(store, name, device))

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
        self._batches = cache(
            lambda name: Batches(store.images, self._split(name).rows, batch_size, device, divided=True)
        )

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        scores = split.scores[pictures.to(self._device)].split(self._batch_size)
        draws = torch.Generator().manual_seed(epoch_seed)
        for (images, _), true in zip(self._batches("train").run(squares), scores, strict=True):
            turned = mirrored(images, len(true), draws) if self._flip else images
            yield Share(cropped(turned, self._side, (2, 3), len(true), draws), len(true)), true

    def inputs(self, split: str) -> Iterator[Share]:
        totals = torch.arange(len(self._split(split).rows)).split(self._batch_size)
        for (images, _), squares in zip(self._batches(split).run(), totals, strict=True):
            yield Share(images, len(squares))

    def predict(self, model: QualityModel, inputs: Share) -> Prediction:
        with joint_statistics():
            pooled = model.pooled(inputs.own, self._share if model.training else 1.0)
        return model.from_pooled(gathered(pooled, inputs.total))


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
        self._batches = cache(lambda name: Batches(stems.maps, self._rows(name), batch_size, device, divided=True))

    def training(self, epoch_seed: int) -> Iterator[Batch]:
        split = self._split("train")
        pictures, squares = split.draw(epoch_seed, self._batch_size)
        scores = split.scores[pictures.to(self._device)].split(self._batch_size)
        draws = torch.Generator().manual_seed(epoch_seed)
        chosen = squares * self._stems.views
        if self._flip:
            chosen += (torch.rand(len(chosen), generator=draws) < 0.5).long()
        for (maps, rows), true in zip(self._batches("train").run(chosen), scores, strict=True):
            maps = cropped(maps, self._side, (1, 2), len(true), draws)
            yield Share(self._stem(maps, rows), len(true)), true

    def batches(self, split: str) -> int:
        return len(self._seen_at_once(split))

    def inputs(self, split: str) -> Iterator[Share]:
        views, together = self._stems.views, self._looks
        places = torch.arange(len(self._split(split).rows) * views)[:: views // together]
        run = self._batches(split).run(places, together * len(self._seen_at_once(split)[0]), together=together)
        for (maps, rows), squares in zip(run, self._seen_at_once(split), strict=True):
            yield Share(self._stem(maps, rows), len(squares))

    def predict(self, model: QualityModel, inputs: Share) -> Prediction:
        with joint_statistics():
            pooled = model.pooled_behind(inputs.own, 1 if model.training else self._looks)
        return model.from_features(gathered(pooled, inputs.total))

    @property
    def _looks(self) -> int:
        """Rows of a square that are looked at to judge it: itself, and its mirror image if that counts."""
        return self._stems.views if self._mirror else 1

    def _seen_at_once(self, split: str) -> Sequence[Tensor]:
        """Squares of a split, batch by batch; where they stand for their mirror images too a batch has more of them."""
        more = self._stems.views // self._looks
        batches: Sequence[Tensor] = torch.arange(len(self._split(split).rows)).split(more * self._batch_size)
        return batches

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
