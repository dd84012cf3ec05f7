"""Feeds: what the loop trains on. Pictures for a trained backbone, cached features for a frozen one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from iqa.data.pixels import Batches, PixelStore
from iqa.model.quality import Prediction, QualityModel

#: Inputs of the model and their scores [B], both on the device.
Batch = tuple[Tensor, Tensor]


class Feed(Protocol):
    """The splits of one store in batches, and how the model reads them."""

    def count(self, split: str) -> int:
        """Pictures in a split."""
        ...

    def batches(self, split: str, *, epoch_seed: int | None = None) -> Iterator[Batch]:
        """All of a split in its order; with `epoch_seed` shuffled by it, without a ragged last batch."""
        ...

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        """What the model says of a batch's inputs."""
        ...


class PixelFeed:
    """Pictures, uint8 [B, 3, S, S]; in training half of them are mirrored, which leaves quality as it is."""

    def __init__(self, store: PixelStore, batch_size: int, device: torch.device, *, flip: bool) -> None:
        self._store, self._batch_size, self._device, self._flip = store, batch_size, device, flip
        self._splits: dict[str, Batches] = {}

    def count(self, split: str) -> int:
        return len(self._store.indices(split))

    def batches(self, split: str, *, epoch_seed: int | None = None) -> Iterator[Batch]:
        if split not in self._splits:
            rows = self._store.indices(split)
            self._splits[split] = Batches(self._store, rows, self._batch_size, self._device)
        draws = None if epoch_seed is None else torch.Generator().manual_seed(epoch_seed)
        whole = min(self._batch_size, self.count(split))
        for images, scores, rows in self._splits[split].epoch(epoch_seed):
            if draws is not None:
                if len(rows) < whole:
                    return
                if self._flip:
                    images = _mirror_half(images, draws)
            yield images, scores

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        prediction: Prediction = model(inputs)
        return prediction


class FeatureFeed:
    """Features of a frozen backbone, float32 [B, D], computed once (see iqa.training.features).

    Args:
        features: [N, D], a row for each picture of the store.
    """

    def __init__(self, store: PixelStore, features: Tensor, batch_size: int, device: torch.device) -> None:
        self._features, self._scores = features.to(device), store.scores.to(device)
        self._store, self._batch_size = store, batch_size

    def count(self, split: str) -> int:
        return len(self._store.indices(split))

    def batches(self, split: str, *, epoch_seed: int | None = None) -> Iterator[Batch]:
        rows = self._store.indices(split)
        if epoch_seed is not None:
            order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(epoch_seed))
            whole = len(rows) // self._batch_size * self._batch_size or len(rows)
            rows = rows[order[:whole]]
        for part in rows.to(self._features.device).split(self._batch_size):
            yield self._features[part], self._scores[part]

    def predict(self, model: QualityModel, inputs: Tensor) -> Prediction:
        return model.from_features(inputs)


def _mirror_half(images: Tensor, draws: torch.Generator) -> Tensor:
    mirrored = (torch.rand(len(images), generator=draws) < 0.5).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)
