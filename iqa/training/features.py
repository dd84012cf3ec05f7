"""A frozen backbone reads every picture once; its features are kept in the cache beside the pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from iqa.config_data import DataConfig
from iqa.data.cache import cache_folder, open_or_build, recipe_key
from iqa.data.pixels import Batches, PixelStore
from iqa.device import autocast, memory_advice
from iqa.model.backbone import Backbone

#: Raise it when the same weights and pictures would give other features.
VERSION = 1
FEATURES = "features.npy"


def cached_features(
    store: PixelStore,
    backbone: Backbone,
    data: DataConfig,
    device: torch.device,
    precision: torch.dtype,
    *,
    progress: bool | None = None,
) -> Tensor:
    """Features of every picture of the store, float32 [N, D], computed once per backbone, weights and size.

    Raises:
        IqaError: no room for the cache, or not enough memory.
    """
    recipe = {
        "version": VERSION,
        "pictures": store.digest,
        "backbone": repr((backbone.name, backbone.image_size, backbone.stages, backbone.pooling)),
        "weights": _digest(backbone),
        "precision": str(precision),
    }

    def build(folder: Path) -> None:
        features = _compute(store, backbone, data.batch_size, device, precision, progress)
        np.save(folder / FEATURES, features.numpy(), allow_pickle=False)

    name = f"features-{recipe_key(recipe)}"
    folder, _ = open_or_build(cache_folder(data.cache_dir), name, recipe, build)
    return torch.from_numpy(np.load(folder / FEATURES, allow_pickle=False))


@torch.inference_mode()
def _compute(
    store: PixelStore,
    backbone: Backbone,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> Tensor:
    was_training = backbone.training
    backbone.eval()
    everything = torch.arange(len(store))
    features = torch.empty(len(store), backbone.num_features)
    bar = tqdm(total=len(store), desc="features", unit="picture", disable=None if progress is None else not progress)
    with memory_advice(device), bar:
        for images, _, rows in Batches(store, everything, batch_size, device, resident=False).epoch():
            with autocast(device, precision):
                features[rows] = backbone(images).float().cpu()
            bar.update(len(rows))
    backbone.train(was_training)
    return features


def _digest(backbone: Backbone) -> str:
    """SHA-256 of the weights, whatever file they came from."""
    content = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
