"""Prepared pictures: decoded, distorted and scored once, kept as uint8 in a memory-mapped cache."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from iqa.config_data import DataConfig
from iqa.data import distortions, pseudo_mos
from iqa.data.batches import Batches, iter_batches
from iqa.data.cache import cache_folder, open_or_build, recipe_key
from iqa.data.clean import CleanSource
from iqa.data.manifest import SPLITS, typed, validate
from iqa.data.prepare import MANIFEST, PIXELS, build_pictures
from iqa.data.sources import load_clean
from iqa.errors import UserError

__all__ = ["Batches", "PixelStore", "iter_batches", "prepare"]

#: Goes up when the same settings give other pictures or another layout.
VERSION = 2


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Pictures with their scores.

    Attributes:
        manifest: one row per picture, see `iqa.data.manifest.COLUMNS`.
        images: uint8 [N, 3, S, S]; a private view of the cache file, which writing to it does not change.
        scores: float32 [N] in [0, 1], higher is better.
        digest: SHA-256 (hex) of pixels and manifest.
        score_name: what the scores are.
    """

    manifest: pd.DataFrame
    images: torch.Tensor
    scores: torch.Tensor
    digest: str
    score_name: str = "pseudo-MOS"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def picture_size(self) -> int:
        """Side of the pictures in pixels."""
        return self.images.shape[-1]

    def indices(self, split: str) -> torch.Tensor:
        """Row numbers of a split, int64 [n], ascending.

        Raises:
            UserError: unknown split.
        """
        if split not in SPLITS:
            raise UserError("unknown split", got=split, expected=f"one of {', '.join(SPLITS)}")
        return torch.from_numpy(np.flatnonzero((self.manifest["split"] == split).to_numpy()))

    def thumbnail(self, index: int) -> np.ndarray:
        """Picture `index` as uint8 [S, S, 3], for plots."""
        return self.images[index].permute(1, 2, 0).numpy().copy()


def prepare(data: DataConfig, *, progress: bool | None = None) -> PixelStore:
    """Open the pictures of a data section, preparing them first where the cache lacks or has damaged them.

    Args:
        data: the settings; batch_size, num_workers and image_size have no influence on the result.
        progress: show a bar while preparing; None shows it in a terminal only.

    Raises:
        UserError: the data set is missing, too small or has unreadable pictures.
        IqaError: no room in the cache folder.
    """
    source = load_clean(data)
    recipe = _recipe(data, source)
    folder, digest = open_or_build(
        cache_folder(data.cache_dir),
        f"{data.dataset}-{recipe_key(recipe)}",
        recipe,
        lambda empty: build_pictures(empty, source, data, progress),
    )
    return _open(folder, source.picture_size, digest)


def _recipe(data: DataConfig, source: CleanSource) -> dict[str, Any]:
    """Everything that a prepared picture or score depends on."""
    return {
        "dataset": data.dataset,
        "source": source.fingerprint,
        "samples": [data.samples(split) for split in SPLITS],
        "pristine_share": data.pristine_share,
        "picture_size": source.picture_size,
        "seed": data.seed,
        "versions": {"distortions": distortions.VERSION, "pseudo_mos": pseudo_mos.VERSION, "pixels": VERSION},
    }


def _open(folder: Path, side: int, digest: str) -> PixelStore:
    # Without keep_default_na=False a photograph called "NA" would lose its name.
    table = pd.read_csv(io.BytesIO((folder / MANIFEST).read_bytes()), keep_default_na=False)
    manifest = typed(table)
    validate(manifest)
    # "c": torch wants writable memory; writes stay in this process.
    pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="c", shape=(len(manifest), 3, side, side))
    return PixelStore(
        manifest=manifest,
        images=torch.from_numpy(pixels),
        scores=torch.from_numpy(manifest["score"].to_numpy(dtype=np.float32).copy()),
        digest=digest,
    )
