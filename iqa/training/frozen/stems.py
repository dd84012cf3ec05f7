"""What a backbone's frozen stages make of every square and its mirror image, computed once: training starts there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.data.prepared import Batches, PixelStore
from iqa.data.store.cache import cache_folder, has_like, open_or_build, recipe_key, reserve
from iqa.data.store.intact import read_array
from iqa.device import autocast, memory_advice
from iqa.distributed.group import after_first
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.fused import folded
from iqa.progress import one_step, progress_bar
from iqa.training.frozen.features import CPU_PIXELS, weights_digest

#: Raise it when the same weights and pictures would give other maps, or another layout.
VERSION = 2
LABEL = "stems"
MAPS, FEATURES = "maps.bin", "features.npy"


@dataclass(frozen=True)
class Stems:
    """R squares, each followed by its mirror image if there is need of one.

    Attributes:
        maps: [R * views, H, W, C] in the precision of the training; a memory map.
        features: the frozen stages' pooled features, float32 [R * views, D].
        views: 2 with mirror images, else 1.
    """

    maps: Tensor
    features: Tensor
    views: int


def kept_stems(
    store: PixelStore,
    backbone: Backbone,
    config: ExperimentConfig,
    device: torch.device,
    precision: torch.dtype,
    *,
    progress: bool | None = None,
) -> Stems:
    """The stems of every square of the store, from the cache where they are.

    Raises:
        IqaError: no room for the cache, or not enough memory.
    """
    views = _views(config)
    shape = (len(store.images) * views, *_map_shape(backbone, store.views.side, device, precision))
    recipe = {
        **_look(store.squares_digest, backbone, precision, views),
        "weights": weights_digest(backbone.frozen_state()),
    }

    def build(folder: Path) -> None:
        _build(folder, shape, store, backbone, device, precision, progress)

    name = f"{LABEL}-{recipe_key(recipe)}"
    size = int(np.prod(shape)) * precision.itemsize
    with one_step("opening first stages", shown=progress):
        folder, _ = after_first(
            lambda: open_or_build(cache_folder(config.data.cache_dir), name, recipe, build, lambda: size)
        )
    features = torch.from_numpy(read_array(folder / FEATURES))
    return Stems(_map(folder / MAPS, shape, precision, "c"), features, views)


def missing_stems(
    pictures: str | None, squares: int, side: int, backbone: Backbone, config: ExperimentConfig, precision: torch.dtype
) -> int:
    """Bytes of stems that the cache lacks, for squares of `side` pixels; as `missing_features` says of features."""
    views, root = _views(config), cache_folder(config.data.cache_dir)
    if pictures and has_like(root, LABEL, _look(pictures, backbone, precision, views)):
        return 0
    return (
        squares * views * int(np.prod(_map_shape(backbone, side, torch.device("cpu"), precision))) * precision.itemsize
    )


def _views(config: ExperimentConfig) -> int:
    return 2 if config.training.flip or config.model.mirror else 1


def _map_shape(backbone: Backbone, side: int, device: torch.device, precision: torch.dtype) -> tuple[int, int, int]:
    """Height, width and channels of what the frozen stages make of a square."""
    with torch.inference_mode(), autocast(device, precision):
        channels, height, width = backbone.stem(
            torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device)
        ).maps.shape[1:]
    return height, width, channels


def _look(pictures: str, backbone: Backbone, precision: torch.dtype, views: int) -> dict[str, Any]:
    """What stems depend on, besides the weights."""
    return {
        "version": VERSION,
        "pictures": pictures,
        "backbone": repr((backbone.name, backbone.sides, backbone.pool.name, backbone.frozen_stages)),
        "precision": str(precision),
        "views": views,
    }


@torch.inference_mode()
def _build(
    folder: Path,
    shape: tuple[int, int, int, int],
    store: PixelStore,
    backbone: Backbone,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> None:
    looking = cast(Backbone, folded(backbone))
    count = len(store.images)
    views = shape[0] // count
    reserve(folder / MAPS, int(np.prod(shape)) * precision.itemsize)
    kept = _map(folder / MAPS, shape, precision, "r+")
    features = []
    # Feature maps that outgrow the processor's cache are slower, not faster, by the batch.
    batch_size = max(1, CPU_PIXELS // backbone.sides[0] ** 2)
    bar = progress_bar(total=count, desc="first stages", unit="squares", shown=progress)
    with memory_advice(device), bar:
        for images, rows in Batches(store.images, torch.arange(count), batch_size, device, resident=False).run():
            both = torch.stack([images, images.flip(-1)][:views], dim=1).flatten(0, 1)
            with autocast(device, precision):
                stem = looking.stem(both)
            start = int(rows[0]) * views
            kept[start : start + len(both)] = stem.maps.permute(0, 2, 3, 1).to("cpu", precision)
            features.append(stem.features.cpu())
            bar.update(len(rows))
    np.save(folder / FEATURES, torch.cat(features).numpy(), allow_pickle=False)


def _map(path: Path, shape: tuple[int, ...], precision: torch.dtype, mode: str) -> Tensor:
    """A file as a tensor; numpy knows no bfloat16, so its bytes pass as integers."""
    bytes_as = np.int16 if precision.itemsize == 2 else np.float32
    mapped = np.memmap(path, dtype=bytes_as, mode=mode, shape=shape)  # type: ignore[call-overload]
    return torch.from_numpy(mapped).view(precision)
