"""What can be scored as a picture, and how it becomes the squares that a model sees."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from iqa.data.store.pictures import as_rgb, is_picture, read_rgb, upright

#: A picture: a path, encoded bytes, base64 text of encoded bytes, a Pillow image or uint8 H x W x 3.
Picture = str | Path | bytes | Image.Image | np.ndarray

#: Characters; a longer text cannot be a path and is taken for a base64 picture.
LONGEST_PATH = 512
#: Base64 as addresses hold it, in its usual letters.
_USUAL = str.maketrans("-_", "+/")


def open_picture(picture: Picture) -> Image.Image:
    """Any picture as 8-bit RGB, turned as its EXIF says.

    Raises:
        ValueError: it is none; the message says why, without naming it.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"an array is a picture if it is uint8 H x W x 3, not {picture.dtype} {picture.shape}")
        return Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return as_rgb(upright(picture))
    if isinstance(picture, str):
        picture = from_text(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return read_rgb(io.BytesIO(picture))
    if not isinstance(picture, Path):
        missing = picture is None or (pd.api.types.is_scalar(picture) and pd.isna(picture))  # as a table holds it
        raise ValueError("no picture was given" if missing else f"a {type(picture).__name__} is no picture")
    path = picture
    if not path.is_file():
        raise ValueError("a folder, no picture" if path.is_dir() else "no such file")
    return read_rgb(path)


def from_text(text: str) -> Path | bytes:
    """The picture that a text holds in base64, with or without line breaks, in the letters of addresses, or in a
    `data:` address; else the file that it names.

    Raises:
        ValueError: too long for a path, and no base64.
    """
    head, comma, content = text.partition(",")
    if inline := text[:5].lower() == "data:":
        if not (comma and head.lower().endswith(";base64")):
            raise ValueError("a data: address is a picture if it holds base64")
        text = content
    decoded = _from_base64(text)
    if decoded is not None and (inline or len(text) > LONGEST_PATH or is_picture(decoded)):
        return decoded
    if inline or len(text) > LONGEST_PATH:
        raise ValueError("neither a path nor a picture in base64")
    return Path(text)


def describe(picture: Picture) -> str:
    """A picture's name in a message."""
    if isinstance(picture, Path) or (isinstance(picture, str) and len(picture) <= LONGEST_PATH):
        return str(picture)
    if isinstance(picture, str):
        return f"{picture[:40]}..."
    return "encoded bytes" if isinstance(picture, bytes) else f"a {type(picture).__name__}"


def _from_base64(text: str) -> bytes | None:
    letters = "".join(text.split()).translate(_USUAL).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
