"""What can be scored as a picture, and how it becomes the squares that a model sees."""

from __future__ import annotations

import base64
import binascii
import io
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from iqa.data.store.pictures import as_rgb, is_picture, read_rgb, upright
from iqa.data.store.rules import LONGEST_PATH


class Offered(ABC):
    """A picture that opens itself, by rules of its own."""

    @abstractmethod
    def opened(self) -> Image.Image:
        """It as 8-bit RGB, upright.

        Raises:
            ValueError: it is none, or against the rules; the message says why.
        """


#: A picture: a path, encoded bytes, base64 text of encoded bytes, a Pillow image, uint8 H x W x 3, or one that opens
#: itself.
Picture = str | Path | bytes | Image.Image | np.ndarray | Offered

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
    if isinstance(picture, Offered):
        return picture.opened()
    if isinstance(picture, Image.Image):
        return as_rgb(upright(picture))
    if isinstance(picture, str):
        picture = from_text(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return read_rgb(io.BytesIO(picture))
    if not isinstance(picture, Path):
        raise ValueError(no_picture(picture))
    path = picture
    if not path.is_file():
        raise ValueError("a folder, no picture" if path.is_dir() else "no such file")
    return read_rgb(path)


def no_picture(value: object) -> str:
    """Why a value that is of no kind of picture is refused."""
    missing = value is None or (pd.api.types.is_scalar(value) and pd.isna(value))  # as a table holds it
    return "no picture was given" if missing else f"a {type(value).__name__} is no picture"


def from_text(text: str) -> Path | bytes:
    """The picture that a text holds (see `held_by`); else the file that it names.

    Raises:
        ValueError: too long for a path, and no base64.
    """
    if (content := held_by(text)) is not None:
        return content
    if len(text) > LONGEST_PATH:
        raise ValueError("neither a path nor a picture in base64")
    return Path(text)


def held_by(text: str) -> bytes | None:
    """What a text holds in base64, with or without line breaks, in the letters of addresses, or in a `data:` address;
    None where it holds nothing, or is short, as a path is, and holds no picture.

    Raises:
        ValueError: a `data:` address that holds no base64.
    """
    head, comma, content = text.partition(",")
    if text[:5].lower() == "data:":
        decoded = _from_base64(content) if comma and head.lower().endswith(";base64") else None
        if decoded is None:
            raise ValueError("a data: address is a picture if it holds base64")
        return decoded
    decoded = _from_base64(text)
    return decoded if decoded is not None and (len(text) > LONGEST_PATH or is_picture(decoded)) else None


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
