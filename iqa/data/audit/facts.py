"""What each picture of a set is, by its file and its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from iqa.data.store.pictures import FORMATS
from iqa.processes import in_threads
from iqa.progress import progress_bar

if TYPE_CHECKING:
    from iqa.data.audit.sight import Glance, Sight

#: Longest side at which sharpness is measured: that of larger pictures is not comparable otherwise.
MEASURED = 512
#: Pictures decoded ahead.
AT_ONCE = 32
#: Bytes that tell what a file is.
HEAD = 64


def look_into(
    names: Sequence[str],
    read: Callable[[str], Image.Image],
    root: Path | None,
    sight: Sight | None = None,
    *,
    workers: int = 4,
    progress: bool | None = None,
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Decode every picture once.

    Args:
        read: a picture by its name, RGB; ValueError where it cannot be decoded.
        root: the folder of their files; None where they are none.
        sight: what turns pictures into features.

    Returns:
        A row for each, in order: `image`; `fault`, "" where it is whole; `width` and `height`, 0 where it is not;
        `spread`, the standard deviation of its brightness in [0, 127.5]; `colour`, whether its channels differ;
        `sharpness`, >= 0, the logarithm of 1 plus the variance of its Laplacian; `kind`, its format by its first
        bytes and `expected` by its name, "" where either is not known. And the features, float16 [N, sight.size], NaN
        where a picture cannot be decoded; None without `sight`.
    """

    def fact(name: str) -> tuple[dict[str, Any], Glance | None]:
        kinds = _kinds(root / name) if root else {"kind": "", "expected": ""}
        try:
            picture = read(name)
            glance = sight.glance(picture) if sight else None
            return {"image": name, "fault": "", **measure(picture), **kinds}, glance
        except ValueError as error:
            nothing = {"width": 0, "height": 0, "spread": np.nan, "colour": True, "sharpness": np.nan}
            return {"image": name, "fault": str(error), **nothing, **kinds}, None

    rows: list[dict[str, Any]] = []
    features = np.full((len(names), sight.size), np.nan, dtype=np.float16) if sight else None
    waiting: dict[int, Glance] = {}

    def see() -> None:
        if sight and features is not None and waiting:
            features[list(waiting)] = sight.features(list(waiting.values()))
            waiting.clear()

    with progress_bar(total=len(names), desc="looking into pictures", unit="pictures", shown=progress) as bar:
        for row, glance in in_threads(fact, names, workers=workers, at_once=AT_ONCE):
            if glance is not None:
                waiting[len(rows)] = glance
            rows.append(row)
            if len(waiting) == AT_ONCE:
                see()
            bar.update()
        see()
    return pd.DataFrame(rows), features


def measure(picture: Image.Image) -> dict[str, Any]:
    """Size, spread, colour and sharpness of an RGB picture, as `look_into` gives them."""
    width, height = picture.size
    picture.thumbnail((MEASURED, MEASURED))
    pixels = np.asarray(picture)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    inner = grey[1:-1, 1:-1]
    edges = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return {
        "width": width,
        "height": height,
        "spread": float(grey.std()),
        "colour": bool((pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 1] != pixels[..., 2]).any()),
        "sharpness": float(np.log1p(edges.var())) if edges.size else 0.0,
    }


def _kinds(path: Path) -> dict[str, str]:
    """What a file is by its first bytes, and by its name."""
    try:
        head = b""
        if path.is_file():  # by now it may be a pipe, which would be waited for
            with path.open("rb") as file:
                head = file.read(HEAD)
    except OSError:
        head = b""
    Image.init()
    accepts = {name: Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN}
    found = next((name for name, fits in accepts.items() if fits is not None and fits(head) is True), "")
    by_name = Image.registered_extensions().get(path.suffix.lower(), "")
    return {"kind": found, "expected": by_name if by_name in FORMATS else ""}
