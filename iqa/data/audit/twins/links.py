"""What links the pictures of a set by looks and by names: found once, and kept beside the prepared pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from iqa.data.audit.twins.likeness import near_pairs
from iqa.data.audit.twins.looks import SIDE, look_at
from iqa.data.audit.twins.series import series_pairs
from iqa.data.store.cache import glimpse, open_or_build, recipe_key
from iqa.data.store.intact import read_array
from iqa.files import read_json, write_json

#: Goes up when the same pictures give other links or another layout.
VERSION = 2
GREY, VARIANTS, SERIES, FAULTS = "grey.npy", "variants.npy", "series.npy", "unreadable.json"


@dataclass(frozen=True)
class Links:
    """What links pictures, their numbers being places in `names`.

    Attributes:
        names: of the pictures, ascending.
        grey: uint8 [N, SIDE, SIDE], how they look from afar; black where one is unreadable.
        variants: int64 [P, 2]; pictures that look like one picture resized, distorted, cropped or mirrored.
        series: int64 [P, 2]; pictures that are alike and whose names differ in their end.
        faults: reasons by name of an unreadable picture.
    """

    names: list[str]
    grey: np.ndarray
    variants: np.ndarray
    series: np.ndarray
    faults: dict[str, str]


def open_links(
    root: Path,
    fingerprint: str,
    names: Sequence[str],
    read: Callable[[str], Image.Image],
    *,
    workers: int = 4,
    progress: bool | None = None,
) -> Links:
    """The links between the pictures `names`, found and cached under `root` first where that is not done yet.

    Args:
        fingerprint: changes when any of the pictures does.
        read: a picture by its name, RGB, with `looks.DECODED` pixels a side; ValueError where it cannot be decoded.

    Raises:
        IqaError: no room for the cache.
    """
    ordered = sorted(names)

    def build(folder: Path) -> None:
        grey = np.lib.format.open_memmap(folder / GREY, "w+", np.uint8, (len(ordered), SIDE, SIDE))
        write_json(folder / FAULTS, look_at(ordered, read, grey, workers=workers, progress=progress))
        grey.flush()
        variants = near_pairs(grey)
        np.save(folder / VARIANTS, variants, allow_pickle=False)
        np.save(folder / SERIES, series_pairs(ordered, grey, variants), allow_pickle=False)

    recipe = _recipe(fingerprint, ordered)
    folder, _ = open_or_build(root, _name(recipe), recipe, build, lambda: len(ordered) * SIDE**2)
    return _opened(folder, ordered)


def known_links(root: Path, fingerprint: str, names: Sequence[str]) -> Links | None:
    """The same where the cache has them; nothing is decoded or written."""
    ordered = sorted(names)
    folder = root / _name(_recipe(fingerprint, ordered))
    return _opened(folder, ordered) if glimpse(folder) else None


def _recipe(fingerprint: str, names: list[str]) -> dict[str, Any]:
    return {"source": fingerprint, "pictures": recipe_key({"names": names}), "links": VERSION}


def _name(recipe: dict[str, Any]) -> str:
    return f"links-{recipe_key(recipe)}"


def _opened(folder: Path, names: list[str]) -> Links:
    grey = read_array(folder / GREY, mmap_mode="r")
    variants, series = (read_array(folder / name) for name in (VARIANTS, SERIES))
    return Links(names, grey, variants, series, read_json(folder / FAULTS))
