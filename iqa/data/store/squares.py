"""Scored pictures as squares: decoded once and packed in a row, or looked through and decoded whenever they are read.

Neither scores nor splits are kept here, so that every split of a set, and every model, reads the same squares.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from iqa.data.store.intact import read_array
from iqa.data.store.pictures import picture_digest
from iqa.data.store.stream import DecodedSquares, Images
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
        images: uint8 [R, 3, S, S]; a private view of the cache file, which writing to it does not change, or squares
            that are decoded when they are read.
        starts: int64 [N + 1]; picture n has the squares starts[n] to starts[n + 1] - 1, none if it is unreadable.
        unreadable: reasons by name of picture.
        known_by: what each picture is known by, "" for an unreadable one; see `picture_digest`.
        digest: SHA-256 (hex) of what they are, whether they are kept or not.
    """

    images: Images
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
    keep: bool = True,
    workers: int = 4,
    progress: bool | None = None,
) -> Squares:
    """The squares of the pictures `names`, cut and cached under `root` first where that is not done yet.

    Args:
        label: starts the name of the cache folder.
        fingerprint: changes when any of the pictures does.
        read: a picture by its name, RGB; ValueError where it cannot be decoded.
        keep: keep their pixels; else the pictures are looked through once and decoded again whenever they are read.

    Raises:
        IqaError: no room for the cache.
    """
    recipe = _recipe(fingerprint, names, views, keep=keep)
    workers = max(1, workers)

    def build(folder: Path) -> None:
        _write(folder, names, read, views, workers, progress, keep=keep)

    def size() -> int:
        return expected_squares(names, read, views) * 3 * views.side**2 if keep else 0

    folder, _ = open_or_build(root, f"{label}-{recipe_key(recipe)}", recipe, build, size)
    starts = torch.from_numpy(read_array(folder / STARTS))
    unreadable, known_by = read_json(folder / UNREADABLE), read_json(folder / KNOWN_BY)
    images: Images = DecodedSquares(names, read, views, starts, known_by, workers=workers)
    if keep:
        # "c": torch wants writable memory; writes stay in this process. Nothing at all cannot be mapped.
        shape = images.shape
        pixels = np.memmap(folder / PIXELS, np.uint8, "c", shape=shape) if shape[0] else np.empty(shape, np.uint8)
        images = torch.from_numpy(pixels)
    return Squares(images, starts, unreadable, known_by, _digest(starts, known_by, views))


def squares_folder(
    root: Path, label: str, fingerprint: str, names: Sequence[str], views: ViewPolicy, *, keep: bool = True
) -> Path:
    """Where the squares of these pictures, or what is known of them, are or will be."""
    return root / f"{label}-{recipe_key(_recipe(fingerprint, names, views, keep=keep))}"


def known_squares(folder: Path, views: ViewPolicy) -> tuple[int, str]:
    """How many squares a folder of the cache tells of, and their digest."""
    starts = torch.from_numpy(read_array(folder / STARTS))
    return int(starts[-1]), _digest(starts, read_json(folder / KNOWN_BY), views)


def _digest(starts: Tensor, known_by: list[str], views: ViewPolicy) -> str:
    """SHA-256 (hex) of what squares are: of which pictures' pixels, and how they are cut."""
    known = {"version": VERSION, "views": views.to_dict(), "known_by": known_by}
    content = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    content.update(starts.numpy().tobytes())
    return content.hexdigest()


def _recipe(fingerprint: str, names: Sequence[str], views: ViewPolicy, *, keep: bool) -> dict[str, Any]:
    return {
        "source": fingerprint,
        "pictures": recipe_key({"names": list(names)}),
        "views": views.to_dict(),
        "version": VERSION,
        # Left out where they are kept, as early versions keep them all.
        **({} if keep else {"pixels": "not kept"}),
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
    *,
    keep: bool,
) -> None:
    starts = np.zeros(len(names) + 1, dtype=np.int64)
    unreadable: dict[str, str] = {}
    known_by, several = [], []
    doing = "decoding" if keep else "looking through"
    with (
        (folder / PIXELS).open("wb") if keep else contextlib.nullcontext() as file,
        progress_bar(total=len(names), desc=doing, unit="pictures", shown=progress) as bar,
    ):
        for number, (squares, known, frames) in enumerate(_decoded(names, read, views, workers)):
            if isinstance(squares, str):
                unreadable[names[number]] = squares
            elif file is not None:
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
