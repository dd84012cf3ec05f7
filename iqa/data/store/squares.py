"""Scored pictures decoded once: the squares of each, packed one after the other.

Neither scores nor splits are kept here, so that every split of a set, and every model, reads the same squares.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqa.data.store.cache import KNOWN_BY, open_or_build, recipe_key
from iqa.data.store.pictures import picture_digest
from iqa.data.store.views import ViewPolicy
from iqa.errors import some
from iqa.files import read_json, write_json
from iqa.processes import in_threads
from iqa.progress import progress_bar

#: Goes up when the same pictures and policy give other squares or another layout.
VERSION = 2
PIXELS, STARTS, UNREADABLE = "pixels.bin", "starts.npy", "unreadable.json"
#: Pictures that tell how many squares there will be.
LOOKED_AT = 16
#: Pictures decoded ahead of the writing.
AT_ONCE = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Squares:
    """The squares of some pictures.

    Attributes:
        images: uint8 [R, 3, S, S]; a private view of the cache file, which writing to it does not change.
        starts: int64 [N + 1]; picture n has the squares starts[n] to starts[n + 1] - 1, none if it is unreadable.
        unreadable: reasons by name of picture.
        known_by: what each picture is known by, "" for an unreadable one; see `picture_digest`.
        digest: SHA-256 (hex) of it all.
    """

    images: Tensor
    starts: Tensor
    unreadable: dict[str, str]
    known_by: list[str]
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
    recipe = _recipe(fingerprint, names, views)

    def build(folder: Path) -> None:
        _write(folder, names, read, views, max(1, workers), progress)

    folder, digest = open_or_build(
        root,
        f"{label}-{recipe_key(recipe)}",
        recipe,
        build,
        lambda: expected_squares(names, read, views) * 3 * views.side**2,
    )
    starts = np.load(folder / STARTS, allow_pickle=False)
    shape = (int(starts[-1]), 3, views.side, views.side)
    # "c": torch wants writable memory; writes stay in this process. Nothing at all cannot be mapped.
    pixels = np.memmap(folder / PIXELS, np.uint8, "c", shape=shape) if shape[0] else np.empty(shape, np.uint8)
    unreadable, known_by = read_json(folder / UNREADABLE), read_json(folder / KNOWN_BY)
    return Squares(torch.from_numpy(pixels), torch.from_numpy(starts), unreadable, known_by, digest)


def squares_folder(root: Path, label: str, fingerprint: str, names: Sequence[str], views: ViewPolicy) -> Path:
    """Where the squares of these pictures are, or will be."""
    return root / f"{label}-{recipe_key(_recipe(fingerprint, names, views))}"


def count_squares(folder: Path) -> int:
    """How many squares a folder of the cache holds."""
    return int(np.load(folder / STARTS, allow_pickle=False)[-1])


def _recipe(fingerprint: str, names: Sequence[str], views: ViewPolicy) -> dict[str, Any]:
    return {
        "source": fingerprint,
        "pictures": recipe_key({"names": list(names)}),
        "views": views.to_dict(),
        "version": VERSION,
    }


def expected_squares(names: Sequence[str], read: Callable[[str], Image.Image], views: ViewPolicy) -> int:
    """How many squares the pictures will give, from a few of them."""
    counts = []
    for name in names[:: len(names) // LOOKED_AT or 1]:
        with contextlib.suppress(ValueError):
            counts.append(len(views.cut(read(name))))
    return int(len(names) * np.mean(counts or [0]))


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
    known_by, several = [], []
    with (
        (folder / PIXELS).open("wb") as file,
        progress_bar(total=len(names), desc="decoding", unit="picture", shown=progress) as bar,
    ):
        for number, (squares, known, frames) in enumerate(_decoded(names, read, views, workers)):
            if isinstance(squares, str):
                unreadable[names[number]] = squares
            else:
                file.write(squares.transpose(0, 3, 1, 2).tobytes())
            if frames > 1:
                several.append(names[number])
            known_by.append(known)
            starts[number + 1] = starts[number] + (0 if isinstance(squares, str) else len(squares))
            bar.update()
    if several:
        log.warning("%d pictures have several frames or pages, and the first is taken: %s", len(several), some(several))
    np.save(folder / STARTS, starts, allow_pickle=False)
    write_json(folder / UNREADABLE, unreadable)
    write_json(folder / KNOWN_BY, known_by)


def _decoded(
    names: Sequence[str], read: Callable[[str], Image.Image], views: ViewPolicy, workers: int
) -> Iterator[tuple[np.ndarray | str, str, int]]:
    """Of each picture in order: its squares, or why it cannot be read; what it is known by; its file's frames."""

    def decode(name: str) -> tuple[np.ndarray | str, str, int]:
        try:
            picture = read(name)
            return views.cut(picture), picture_digest(picture), int(picture.info.get("frames", 1))
        except ValueError as error:
            return str(error), "", 1

    return in_threads(decode, names, workers=workers, at_once=AT_ONCE)
