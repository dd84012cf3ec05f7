"""From clean pictures to distorted, scored ones: each step of the recipe behind a pixel store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS, to_csv, validate
from iqa.data.store.cache import KNOWN_BY, reserve
from iqa.data.store.pictures import refuse_unreadable
from iqa.data.synthetic.clean import CleanSource
from iqa.data.synthetic.distortions import distort
from iqa.data.synthetic.plan import plan_distortions
from iqa.data.synthetic.pseudo_mos import fidelity, pseudo_mos
from iqa.files import write_json
from iqa.progress import progress_bar

PIXELS = "pixels.bin"
MANIFEST = "manifest.csv"
#: Clean pictures held at a time, and pixels of one batch of distortion; neither changes a result.
CHUNK_BYTES = 2**28
BATCH_PIXELS = 2**22


def build_pictures(folder: Path, source: CleanSource, data: DataConfig, progress: bool | None) -> None:
    """Write `pixels.bin` (uint8 [N, 3, S, S]) and `manifest.csv` into an empty folder.

    Raises:
        UserError: pictures that cannot be read.
        OSError: no room on the disk.
    """
    manifest = plan_distortions(
        source.contents(),
        {split: data.samples(split) or 0 for split in SPLITS},
        data.pristine_share,
        data.seed,
        crops=source.crops,
        colourless=source.colourless(),
    )
    side = source.picture_size
    reserve(folder / PIXELS, len(manifest) * 3 * side * side)
    pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r+", shape=(len(manifest), 3, side, side))
    closeness = np.empty(len(manifest), dtype=np.float32)
    with (
        ThreadPoolExecutor(max(1, data.num_workers)) as threads,
        progress_bar(total=len(manifest), desc=f"preparing {data.dataset}", unit="pictures", shown=progress) as bar,
    ):
        for rows in _chunks(manifest, side):
            clean = _read(source, manifest["image"].iloc[rows], threads)
            for part, kind, level in _groups(manifest.iloc[rows], side):
                reference = clean[part]
                seeds = manifest["seed"].iloc[rows[part]].tolist()
                distorted = distort(reference, kind, level, seeds)
                closeness[rows[part]] = fidelity(reference, distorted)
                pixels[rows[part]] = distorted.numpy()
                bar.update(len(part))
    pixels.flush()
    manifest["score"] = pseudo_mos(manifest["kind"].tolist(), manifest["level"].tolist(), closeness)
    validate(manifest)
    (folder / MANIFEST).write_bytes(to_csv(manifest))
    write_json(folder / KNOWN_BY, [source.known_by[content] for content in manifest["content"]])


def _chunks(manifest: pd.DataFrame, side: int) -> Iterator[np.ndarray]:
    """Row numbers in portions that fit into memory, by content, so that a photograph is decoded once."""
    order = np.argsort(manifest["content"].to_numpy(dtype=str), kind="stable")
    size = max(1, CHUNK_BYTES // (3 * side * side))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _groups(rows: pd.DataFrame, side: int) -> Iterator[tuple[np.ndarray, str, int]]:
    """Positions within `rows` that share a kind and a level, in batches of bounded size."""
    size = max(1, BATCH_PIXELS // (side * side))
    for (kind, level), part in rows.groupby(["kind", "level"], sort=True).indices.items():
        for start in range(0, len(part), size):
            yield part[start : start + size], str(kind), int(level)


def _read(source: CleanSource, images: Sequence[str], threads: ThreadPoolExecutor) -> torch.Tensor:
    """Clean pictures as uint8 [B, 3, S, S]; all that cannot be read are reported together."""
    names = list(images)
    clean = torch.empty(len(names), 3, source.picture_size, source.picture_size, dtype=torch.uint8)
    faults: dict[str, str] = {}

    def read(place: int) -> None:
        try:
            clean[place] = torch.from_numpy(source.read(names[place]).copy()).permute(2, 0, 1)
        except ValueError as error:
            faults[names[place].partition("#")[0]] = str(error)

    list(threads.map(read, range(len(names))))
    refuse_unreadable(faults)
    return clean
