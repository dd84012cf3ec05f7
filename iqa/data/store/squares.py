"""Scored pictures decoded once: the squares of each, packed one after the other.

Neither scores nor splits are kept here, so that every split of a set, and every model, reads the same squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from iqa.data.store.cache import open_or_build, recipe_key
from iqa.data.store.views import ViewPolicy
from iqa.files import read_json, write_json

#: Goes up when the same pictures and policy give other squares or another layout.
VERSION = 1
PIXELS, STARTS, UNREADABLE = "pixels.bin", "starts.npy", "unreadable.json"
#: Pictures decoded ahead of the writing.
AT_ONCE = 32


@dataclass(frozen=True)
class Squares:
    """The squares of some pictures.

    Attributes:
        images: uint8 [R, 3, S, S]; a private view of the cache file, which writing to it does not change.
        starts: int64 [N + 1]; picture n has the squares starts[n] to starts[n + 1] - 1, none if it is unreadable.
        unreadable: reasons by name of picture.
        digest: SHA-256 (hex) of it all.
    """

    images: Tensor
    starts: Tensor
    unreadable: dict[str, str]
    digest: str


def open_squares(
    root: Path,
    label: str,
    fingerprint: str,
    names: Sequence[str],
    read: Callable[[str], Image.Image],
    views: ViewPolicy,
    *,
    workers: int = 4,
    progress: bool | None = None,
) -> Squares:
    """The squares of the pictures `names`, cut and cached under `root` first where that is not done yet.

    Args:
        label: starts the name of the cache folder.
        fingerprint: changes when any of the pictures does.
        read: a picture by its name, RGB; ValueError where it cannot be decoded.

    Raises:
        IqaError: no room for the cache.
    """
    recipe: dict[str, Any] = {
        "source": fingerprint,
        "pictures": recipe_key({"names": list(names)}),
        "views": views.to_dict(),
        "version": VERSION,
    }

    def build(folder: Path) -> None:
        _write(folder, names, read, views, max(1, workers), progress)

    folder, digest = open_or_build(root, f"{label}-{recipe_key(recipe)}", recipe, build)
    starts = np.load(folder / STARTS, allow_pickle=False)
    shape = (int(starts[-1]), 3, views.side, views.side)
    # "c": torch wants writable memory; writes stay in this process. Nothing at all cannot be mapped.
    pixels = np.memmap(folder / PIXELS, np.uint8, "c", shape=shape) if shape[0] else np.empty(shape, np.uint8)
    return Squares(torch.from_numpy(pixels), torch.from_numpy(starts), read_json(folder / UNREADABLE), digest)


def _write(
    folder: Path,
    names: Sequence[str],
    read: Callable[[str], Image.Image],
    views: ViewPolicy,
    workers: int,
    progress: bool | None,
) -> None:
    starts = np.zeros(len(names) + 1, dtype=np.int64)
    unreadable: dict[str, str] = {}
    # tqdm takes None as "only in a terminal".
    hidden = None if progress is None else not progress
    with (
        (folder / PIXELS).open("wb") as file,
        ThreadPoolExecutor(workers) as threads,
        tqdm(total=len(names), desc="decoding", unit="picture", disable=hidden) as bar,
    ):
        for number, squares in enumerate(_decoded(threads, names, read, views)):
            if isinstance(squares, str):
                unreadable[names[number]] = squares
            else:
                file.write(squares.transpose(0, 3, 1, 2).tobytes())
            starts[number + 1] = starts[number] + (0 if isinstance(squares, str) else len(squares))
            bar.update()
    np.save(folder / STARTS, starts, allow_pickle=False)
    write_json(folder / UNREADABLE, unreadable)


def _decoded(
    threads: ThreadPoolExecutor, names: Sequence[str], read: Callable[[str], Image.Image], views: ViewPolicy
) -> Iterator[np.ndarray | str]:
    """The squares of each picture in order, or why it cannot be read."""

    def decode(name: str) -> np.ndarray | str:
        try:
            return views.cut(read(name))
        except ValueError as error:
            return str(error)

    for start in range(0, len(names), AT_ONCE):
        yield from threads.map(decode, names[start : start + AT_ONCE])
