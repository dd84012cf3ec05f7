"""A frozen backbone reads every square once; its features are kept in the cache beside the pictures.

Killed on the way, the next start goes on within a minute of where it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqa.config.data import DataConfig
from iqa.data.prepared import Batches, PixelStore
from iqa.data.store.cache import cache_folder, has_like, open_or_build, recipe_key
from iqa.device import autocast, memory_advice
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.fused import folded
from iqa.model.backbone.several import AnyBackbone, members
from iqa.progress import one_step, progress_bar
from iqa.training.frozen.table import DTYPE, Features, Writer, open_features

#: Raise it when the same weights and pictures would give other features.
VERSION = 4
LABEL = "features"
#: Pixels that a CPU looks at in one batch.
CPU_PIXELS = 2**22


def cached_features(
    store: PixelStore,
    backbone: AnyBackbone,
    data: DataConfig,
    device: torch.device,
    precision: torch.dtype,
    *,
    progress: bool | None = None,
) -> Features:
    """Features of every square of the store [R, D], computed once per backbone, weights and size.

    Backbones that stand side by side are computed and kept one by one, so that each serves every combination.

    Raises:
        IqaError: no room for the cache, or not enough memory.
    """
    with one_step("opening features", shown=progress):
        parts = [_cached(store, member, data, device, precision, progress) for member in members(backbone)]
    return Features(parts)


def _cached(
    store: PixelStore,
    backbone: Backbone,
    data: DataConfig,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> Tensor:
    recipe = {**_look(store.squares_digest, backbone, precision), "weights": weights_digest(backbone.state_dict())}
    shape = len(store.images), backbone.num_features

    def build(folder: Path) -> None:
        writer = Writer(folder, *shape)
        _compute(writer, store, backbone, data.batch, device, precision, progress)
        writer.finish()

    name = f"{LABEL}-{recipe_key(recipe)}"
    size = DTYPE.itemsize * shape[0] * shape[1]
    folder, _ = open_or_build(cache_folder(data.cache_dir), name, recipe, build, lambda: size, resumable=True)
    return open_features(folder, *shape)


def missing_features(pictures: str | None, squares: int, backbone: Backbone, root: Path, precision: torch.dtype) -> int:
    """Bytes of features that the cache lacks, whatever the weights: those of one name are mostly the same.

    Args:
        pictures: digest of the squares, None where they are not there themselves.
        squares: how many there are.
    """
    if pictures and has_like(root, LABEL, _look(pictures, backbone, precision)):
        return 0
    return DTYPE.itemsize * squares * backbone.num_features


def _look(pictures: str, backbone: Backbone, precision: torch.dtype) -> dict[str, Any]:
    """What features depend on, besides the weights."""
    return {
        "version": VERSION,
        "pictures": pictures,
        "backbone": repr((backbone.name, backbone.sides, backbone.stages, backbone.pool.name)),
        "precision": str(precision),
    }


@torch.inference_mode()
def _compute(
    writer: Writer,
    store: PixelStore,
    backbone: Backbone,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> None:
    looking = folded(backbone)
    if device.type == "cpu":
        # Feature maps that outgrow the processor's cache are slower, not faster, by the batch.
        batch_size = max(1, min(batch_size, CPU_PIXELS // max(backbone.sides) ** 2))
    count = len(store.images)
    left = torch.arange(writer.done, count)
    bar = progress_bar(total=count, initial=writer.done, desc="features", unit="square", shown=progress)
    with memory_advice(device), bar:
        for images, rows in Batches(store.images, left, batch_size, device, resident=False).run():
            with autocast(device, precision):
                writer.add(looking(images))
            bar.update(len(rows))


def weights_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 (hex) of weights, whatever file they came from."""
    content = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
