"""How pictures look from afar: a grey square of 32 pixels of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from iqa.data.store.pictures import read_rgb
from iqa.processes import in_threads
from iqa.progress import progress_bar

#: Side of a look, and pixels of a picture's own that it is made of, at least.
SIDE, DECODED = 32, 64
#: Pictures decoded ahead.
AT_ONCE = 64


def look(picture: Image.Image) -> np.ndarray:
    """The whole of a picture squeezed into a square, uint8 [SIDE, SIDE]."""
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def small_reader(root: Path) -> Callable[[str], Image.Image]:
    """What reads a file below `root` for a look, by as little of it as is enough."""
    return lambda name: read_rgb(root / name, least=DECODED)


def look_at(
    names: Sequence[str],
    read: Callable[[str], Image.Image],
    into: np.ndarray,
    *,
    workers: int,
    progress: bool | None = None,
) -> dict[str, str]:
    """Look at pictures, several at once.

    Args:
        read: a picture by its name, RGB; ValueError where it cannot be decoded.
        into: uint8 [N, SIDE, SIDE], for how they look; that of an unreadable one is left alone.

    Returns:
        Reasons by name of those that cannot be read.
    """
    faults: dict[str, str] = {}

    def decode(name: str) -> np.ndarray | str:
        try:
            return look(read(name))
        except ValueError as error:
            return str(error)

    with progress_bar(total=len(names), desc="looking for copies", unit="pictures", shown=progress) as bar:
        for row, found in enumerate(in_threads(decode, names, workers=workers, at_once=AT_ONCE)):
            if isinstance(found, str):
                faults[names[row]] = found
            else:
                into[row] = found
            bar.update()
    return faults
