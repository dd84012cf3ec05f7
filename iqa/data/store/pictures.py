"""Opening untrusted picture files, and cutting square pictures out of photographs."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from iqa.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
#: A photograph is kept at this many times the side of the pictures cut from it: room to zoom, little memory.
ZOOM = 2.0


def check_header(path: Path) -> str:
    """The Pillow mode of a picture file, from its header alone.

    Raises:
        ValueError: no picture, or more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (a decompression bomb).
    """
    with _open(path) as image:
        return str(image.mode)


def read_rgb(path: Path | BinaryIO) -> Image.Image:
    """Decode a picture file as 8-bit RGB: turned as its EXIF says, 16 bits scaled down, alpha put on white.

    Raises:
        ValueError: the file cannot be decoded as a picture.
    """
    with _open(path) as image:
        try:
            return as_rgb(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, MemoryError) as error:
            raise ValueError(str(error)) from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow picture as 8-bit RGB.

    Raises:
        ValueError: floating-point pixels, whose range nothing says.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def shrink(photograph: Image.Image, side: int) -> Image.Image:
    """The photograph with its short side at most `ZOOM * side` pixels, aspect kept."""
    scale = ZOOM * side / min(photograph.size)
    if scale >= 1:
        return photograph
    width, height = (max(1, round(length * scale)) for length in photograph.size)
    return photograph.resize((width, height), Image.Resampling.LANCZOS)


def square_crop(photograph: Image.Image, side: int, content: str, number: int) -> np.ndarray:
    """Crop `number` of a photograph as uint8 [side, side, 3].

    Crop 0 is the largest centred square. Every other has a place and a zoom of its own, which follow from
    `content` and `number` alone; it never magnifies unless the photograph is smaller than `side`.
    """
    width, height = photograph.size
    largest = min(width, height)
    if number == 0:
        length, left, top = float(largest), (width - largest) / 2, (height - largest) / 2
    else:
        rng = np.random.default_rng([zlib.crc32(content.encode()), number])
        length = largest / rng.uniform(1, max(1.0, min(ZOOM, largest / side)))
        left, top = rng.uniform(0, (width - length, height - length))
    box = (left, top, min(left + length, width), min(top + length, height))
    return np.asarray(photograph.resize((side, side), Image.Resampling.LANCZOS, box=box))


def refuse_unreadable(faults: dict[str, str]) -> None:
    """Report the pictures that cannot be read, all of them counted and the first ones named.

    Raises:
        UserError: `faults`, reasons by name, is not empty.
    """
    if faults:
        named = "; ".join(f"{name} ({reason})" for name, reason in list(faults.items())[:5])
        limit = f"at most {Image.MAX_IMAGE_PIXELS} pixels" if Image.MAX_IMAGE_PIXELS else "any size"
        raise UserError(
            f"{len(faults)} pictures cannot be read",
            got=named + (" ..." if len(faults) > 5 else ""),
            expected=f"whole {', '.join(SUFFIXES)} files of {limit}",
            fix="mend or remove these files",
        )


def _open(path: Path | BinaryIO) -> Image.Image:
    try:
        image = Image.open(path)
    except Image.DecompressionBombError as error:
        raise ValueError("more pixels than the limit") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("no picture that Pillow can read") from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise ValueError(f"{image.width} x {image.height} pixels are more than the limit")
    return image
