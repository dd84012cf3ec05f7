"""Prepared pictures: decoded (and distorted and scored) once, kept as uint8 squares in a memory-mapped cache."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS, UNIT, ScoreScale, digest, from_csv, validate
from iqa.data.scored.joins import UNREADABLE
from iqa.data.scored.load import ScoredSet, load_scored
from iqa.data.splits import redraw, refuse_useless
from iqa.data.store.batches import Batches
from iqa.data.store.cache import KNOWN_BY, cache_folder, glimpse, open_or_build, recipe_key
from iqa.data.store.squares import expected_squares, open_squares, squares_folder
from iqa.data.store.stream import Images
from iqa.data.store.views import ViewPolicy
from iqa.data.synthetic import distortions, pseudo_mos
from iqa.data.synthetic.clean import CleanSource
from iqa.data.synthetic.prepare import MANIFEST, PIXELS, build_pictures
from iqa.data.synthetic.sources import load_clean
from iqa.errors import UserError
from iqa.files import read_json
from iqa.progress import one_step

__all__ = ["Batches", "PixelStore", "prepare"]

#: Validation pictures that choose no epoch, once they are set aside.
HELD = "held"
#: Goes up when the same settings give other pictures or another layout.
VERSION = 3
#: Share of the disk's free room that pixels may take; else they are decoded whenever they are read.
PIXELS_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class PixelStore:
    """N pictures with their scores, each as one or several squares of pixels.

    Attributes:
        manifest: one row per picture, see `iqa.data.manifest.COLUMNS`.
        images: uint8 [R, 3, S, S], the squares, picture after picture; a private view of the cache file, which
            writing to it does not change, or decoded whenever they are read (`data.store`).
        starts: int64 [N + 1]; picture n has the squares starts[n] to starts[n + 1] - 1.
        scores: float32 [N] in [0, 1], higher is better.
        digest: SHA-256 (hex) of squares and manifest.
        squares_digest: of what the squares depend on, whatever their scores and splits.
        views: how squares are cut from a picture.
        score_name: what the scores are, "MOS" or "pseudo-MOS".
        scale: the scale that people scored on.
        report: which rows of a scored set's table could be used; empty for others.
        known_by: what each picture, or the clean one that it was made from, is known by, whatever file holds it.
    """

    manifest: pd.DataFrame
    images: Images
    starts: torch.Tensor
    scores: torch.Tensor
    digest: str
    squares_digest: str
    views: ViewPolicy
    score_name: str
    scale: ScoreScale
    report: dict[str, Any] = field(default_factory=dict)
    known_by: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.manifest)

    def indices(self, split: str) -> torch.Tensor:
        """Row numbers of a split, of HELD or of "all", in the manifest, int64 [n], ascending.

        Raises:
            UserError: unknown split.
        """
        if split == "all":
            return torch.arange(len(self))
        if split not in (*SPLITS, HELD):
            raise UserError("unknown split", got=split, expected=f"one of {', '.join(SPLITS)}")
        return torch.from_numpy(np.flatnonzero((self.manifest["split"] == split).to_numpy()))

    def redrawn(self, seed: int) -> PixelStore:
        """The same pictures with training and validation drawn anew, whole contents at a time; the test stays.

        Raises:
            UserError: fewer than two contents besides the test's.
        """
        content, split = self.manifest["content"].to_numpy(), self.manifest["split"].to_numpy()
        manifest = self.manifest.assign(split=redraw(content, split, seed))
        changed = hashlib.sha256((self.digest + digest(manifest)).encode()).hexdigest()
        return replace(self, manifest=manifest, digest=changed)

    def holding_out(self, least: int) -> PixelStore:
        """The same with half of the validation contents as HELD, if both halves keep `least` pictures or more."""
        split, content = self.manifest["split"].to_numpy(dtype=object, copy=True), self.manifest["content"].to_numpy()
        rows = np.flatnonzero(split == "val")
        names, of = np.unique(content[rows], return_inverse=True)
        # The contents in random order; those that come before half of the pictures are held.
        order = np.random.default_rng(0).permutation(len(names))
        sizes = np.bincount(of)[order]
        held = order[sizes.cumsum() - sizes / 2 < len(rows) / 2]
        chosen = rows[np.isin(of, held)]
        if min(len(chosen), len(rows) - len(chosen)) < least:
            return self
        split[chosen] = HELD
        return replace(self, manifest=self.manifest.assign(split=split))

    def squares(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The squares of `pictures`, int64 [n]: their rows in `images` and whose they are, 0..n-1; both int64 [V]."""
        counts = self.starts[pictures + 1] - self.starts[pictures]
        owner = torch.repeat_interleave(torch.arange(len(pictures)), counts)
        before = counts.cumsum(0) - counts
        return torch.arange(len(owner)) + (self.starts[pictures] - before)[owner], owner

    def thumbnail(self, index: int) -> np.ndarray:
        """The middle square of picture `index` as uint8 [S, S, 3], for plots."""
        middle = int(self.starts[index] + self.starts[index + 1]) // 2
        return self.images[middle].permute(1, 2, 0).numpy().copy()


def prepare(data: DataConfig, *, progress: bool | None = None, to_train: bool = True, once: bool = False) -> PixelStore:
    """Open the pictures of a data section, preparing them first where the cache lacks or has damaged them.

    Args:
        data: the settings; batch_size, num_workers and image_size have no influence on the result.
        progress: True, a bar; None, a bar on a terminal and lines elsewhere; False, nothing.
        to_train: refuse a scored set whose validation or test split could tell nothing.
        once: the pictures will be looked at once, or next to it: `data.store` "auto" then keeps no pixels.

    Raises:
        UserError: the data set is missing, too small or has pictures or scores that cannot be used.
        IqaError: no room in the cache folder.
    """
    with one_step(f"opening {data.dataset}", shown=progress):
        return _scored(data, progress, to_train, once) if data.scored else _synthetic(data, progress)


def keeps_pixels(data: DataConfig, found: ScoredSet, names: list[str], views: ViewPolicy, *, once: bool) -> bool:
    """Whether the cache keeps pixels, as `data.store` says; "auto": those that are there, or are read often and fit."""
    if data.store != "auto":
        return data.store == "cache"
    root = cache_folder(data.cache_dir)
    if glimpse(squares_folder(root, data.dataset, found.fingerprint, names, views)) is not None:
        return True
    if once:
        return False
    beside = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    size = expected_squares(names, found.read, views) * 3 * views.side**2
    return size <= PIXELS_SHARE * shutil.disk_usage(beside).free


def _scored(data: DataConfig, progress: bool | None, to_train: bool, once: bool) -> PixelStore:
    """Pictures with people's scores: squares from cache or files, scores and split from the table."""
    found = load_scored(data, judged_whole=not to_train)
    # In the order of names, whatever the split, so that all splits of a set share their squares.
    manifest = found.manifest
    if not manifest["image"].is_monotonic_increasing:
        manifest = manifest.sort_values("image", ignore_index=True)
    views, names = ViewPolicy.from_config(data), manifest["image"].tolist()
    squares = open_squares(
        cache_folder(data.cache_dir),
        data.dataset,
        found.fingerprint,
        names,
        found.read,
        views,
        keep=keeps_pixels(data, found, names, views, once=once),
        workers=data.num_workers,
        progress=progress,
    )
    readable = ~manifest["image"].isin(squares.unreadable)
    known = None if squares.unreadable else found.digest
    if squares.unreadable:
        found.report.add(UNREADABLE, [f"{name} ({reason})" for name, reason in squares.unreadable.items()])
        found.report.settle(data.on_error)
    manifest = manifest[readable].reset_index(drop=True)
    validate(manifest)
    if squares.unreadable and to_train:
        refuse_useless(manifest["split"].to_numpy(), manifest["score"].to_numpy())
    kept = np.append(True, readable.to_numpy())
    return PixelStore(
        manifest=manifest,
        images=squares.images,
        starts=squares.starts[torch.from_numpy(kept)],
        scores=_scores(manifest),
        digest=hashlib.sha256((squares.digest + (known or digest(manifest))).encode()).hexdigest(),
        squares_digest=squares.digest,
        views=views,
        known_by=[each for each, fine in zip(squares.known_by, readable, strict=True) if fine],
        score_name="MOS",
        scale=found.scale,
        report=found.report.to_dict(),
    )


def _synthetic(data: DataConfig, progress: bool | None) -> PixelStore:
    """Clean pictures, distorted and given pseudo-MOS by the recipe: one square each."""
    source = load_clean(data)
    recipe = recipe_of(data, source)
    folder, cached = open_or_build(
        cache_folder(data.cache_dir),
        f"{data.dataset}-{recipe_key(recipe)}",
        recipe,
        lambda empty: build_pictures(empty, source, data, progress),
        lambda: 3 * source.picture_size**2 * sum(samples_of(data).values()),
    )
    manifest = from_csv(folder / MANIFEST)
    validate(manifest)
    side = source.picture_size
    # "c": torch wants writable memory; writes stay in this process.
    pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="c", shape=(len(manifest), 3, side, side))
    return PixelStore(
        manifest=manifest,
        images=torch.from_numpy(pixels),
        starts=torch.arange(len(manifest) + 1),
        scores=_scores(manifest),
        digest=cached,
        squares_digest=cached,
        views=ViewPolicy.from_config(data, side),
        known_by=read_json(folder / KNOWN_BY),
        score_name="pseudo-MOS",
        scale=UNIT,
    )


def samples_of(data: DataConfig) -> dict[str, int]:
    """How many pictures of each split are made of a set without scores."""
    return {split: data.samples(split) or 0 for split in SPLITS}


def recipe_of(data: DataConfig, source: CleanSource) -> dict[str, Any]:
    return {
        "dataset": data.dataset,
        "source": source.fingerprint,
        "samples": [data.samples(split) for split in SPLITS],
        "pristine_share": data.pristine_share,
        "picture_size": source.picture_size,
        "seed": data.seed,
        "versions": {"distortions": distortions.VERSION, "pseudo_mos": pseudo_mos.VERSION, "pixels": VERSION},
    }


def _scores(manifest: pd.DataFrame) -> torch.Tensor:
    return torch.from_numpy(manifest["score"].to_numpy(dtype=np.float32).copy())
