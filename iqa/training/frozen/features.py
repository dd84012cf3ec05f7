"""A frozen backbone reads every square once; its features are kept in the cache beside the pictures.

Killed on the way, the next start goes on within a minute of where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqa.config.data import DataConfig
from iqa.data.prepared import Batches, PixelStore
from iqa.data.store.cache import cache_folder, has_like, open_or_build, recipe_key
from iqa.device import autocast, memory_advice
from iqa.distributed.group import after_first, rank, same, world_size
from iqa.distributed.sharing import gathered
from iqa.errors import UserError
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
    name = f"{LABEL}-{recipe_key(recipe)}"
    size = DTYPE.itemsize * shape[0] * shape[1]
    computed = partial(_computed, store, backbone, data.batch, device, precision, progress)
    asked_for: list[int] = []

    def build(folder: Path) -> None:
        _refuse_own_cache(folder)
        writer = Writer(folder, *shape)
        asked_for.append(same(writer.done))
        for features in computed(writer.done):
            writer.add(features)
        writer.finish()

    def find() -> Path:
        folder, _ = open_or_build(cache_folder(data.cache_dir), name, recipe, build, lambda: size, resumable=True)
        if rank() == 0 and not asked_for:
            same(None)  # the others need not help
        return folder

    def help_out() -> None:
        begin = same(None)
        for _ in () if begin is None else computed(begin):
            pass

    return open_features(after_first(find, help_out), *shape)


def _refuse_own_cache(folder: Path) -> None:
    """Of several processes the first one alone writes features, which the others then find.

    Raises:
        UserError: they look elsewhere.
    """
    if rank():
        raise UserError(
            "this process does not see the features that the first one has written",
            got=folder.parent,
            expected="one cache for all processes",
            fix="set data.cache_dir to a folder that all machines share",
        )


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


def _computed(
    store: PixelStore,
    backbone: Backbone,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
    begin: int,
) -> Iterator[Tensor]:
    """Features of the squares from number `begin` on, some rows [n, D] at a time; several processes share the work."""
    looking = folded(backbone)
    if device.type == "cpu":
        # Feature maps that outgrow the processor's cache are slower, not faster, by the batch.
        batch_size = max(1, min(batch_size, CPU_PIXELS // max(backbone.sides) ** 2))
    count = len(store.images)
    left, at_once = torch.arange(begin, count), batch_size * world_size()
    batches = Batches(store.images, left, at_once, device, resident=False, divided=True)
    bar = progress_bar(total=count, initial=begin, desc="features", unit="squares", shown=progress)
    with memory_advice(device), bar:
        for (images, _), rows in zip(batches.run(), left.split(at_once), strict=True):
            with torch.inference_mode(), autocast(device, precision):
                features = gathered(looking(images), len(rows))
            yield features
            bar.update(len(rows))


def weights_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 (hex) of weights, whatever file they came from."""
    content = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
