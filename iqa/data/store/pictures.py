"""Opening picture files that nobody vouches for: the one place where training, scoring and serving do it.

Only the formats listed here are ever handed to a decoder, so that nothing in a file starts a program (Pillow gives
PostScript to Ghostscript). Bytes, pixels and scans are limited, which bounds the time that decoding can take.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from iqa.errors import UserError, first_line

#: Names of Pillow's decoders; "HEIF" comes with pillow-heif.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
#: How names of pictures end.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".heic", ".heif"),
)
MOST_BYTES = 2**29
#: A progressive JPEG has ten or so; each costs a pass over all pixels, and a few bytes can ask for one.
MOST_SCANS = 100
#: First bytes of files that people take for pictures.
_STRANGERS = {
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"<svg": "SVG",
    b"<?xm": "XML",
    b"PK\x03\x04": "an archive",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"version https://git-lfs": "a Git LFS pointer: git lfs pull brings the file",
}
_HEIF = re.compile(rb"....ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL)
#: EXIF's word on how a picture is to be turned, and how Pillow calls that.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: 16-bit samples that stay below a quarter of their range are 8, 10, 12 or 14 bits in disguise, or nearly black.
_LEAST_OF_16_BITS = 2**14


def check_header(path: Path) -> str:
    """The Pillow mode of a picture file, from its header alone.

    Raises:
        ValueError: no picture, or beyond a limit.
    """
    with _open(path) as image:
        return str(image.mode)


def read_rgb(source: Path | BinaryIO, most_pixels: int | None = None, *, least: int | None = None) -> Image.Image:
    """Decode a picture file as 8-bit RGB: turned as its EXIF says, 16 bits scaled down, alpha put on white.

    Of several frames or pages the first is decoded, and `info["frames"]` of what is returned says how many there are.
    Nothing in its metadata keeps the pixels from being decoded.

    Args:
        most_pixels: a limit below Pillow's own (`Image.MAX_IMAGE_PIXELS`).
        least: pixels of each side that are enough: of a JPEG a fraction is decoded, which takes a quarter of the time.

    Raises:
        ValueError: the file cannot be decoded as a picture; the message says why.
    """
    with _open(source, most_pixels) as image:
        try:
            frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        except Exception:  # a later frame is damaged; the first may be whole
            frames = 2
        try:
            image.seek(0)
            if least is not None:
                image.draft(None, (least, least))
            image.load()
            rgb = as_rgb(upright(image))
        except ValueError:
            raise
        except Exception as error:
            # Decoders meet damaged files with any kind of error, from IndexError to struct.error.
            raise ValueError(f"damaged: {first_line(error)}") from error
    rgb.info["frames"] = frames
    return rgb


def is_picture(content: bytes) -> bool:
    """Whether bytes start as a file of a known format does."""
    Image.init()
    known = (Image.OPEN[name][1] for name in _formats() if name in Image.OPEN)
    return any(accepts is not None and accepts(content[:64]) is True for accepts in known)


def picture_digest(picture: Image.Image) -> str:
    """What a decoded picture is known by, 16 hex digits: the same for the same pixels, whatever file holds them."""
    return hashlib.blake2b(repr(picture.size).encode() + picture.tobytes(), digest_size=8).hexdigest()


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; as it stands where the EXIF is damaged or says nothing."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever a parser makes of garbage
        turn = None
    return image if turn is None else image.transpose(turn)


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow picture as 8-bit RGB.

    Raises:
        ValueError: pixels whose range nothing says: floating point, 32 bits, or 16 bits of which the upper ones are
            not used.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode == "I":
        raise ValueError("32-bit pixels have no known range; save 8 or 16 bits")
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them.
        grey = np.asarray(image).astype(np.int64)
        _refuse_narrow_16_bits(int(grey.max(initial=0)))
        return Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


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


def _refuse_narrow_16_bits(highest: int) -> None:
    if highest < _LEAST_OF_16_BITS:
        raise ValueError(
            f"16-bit pixels that end at {highest} have no known range; stretch them to 65535, or save 8 bits"
        )


@cache
def _formats() -> tuple[str, ...]:
    """The decoders that are there."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener(thumbnails=False)
    return (*FORMATS, "HEIF")


def _open(source: Path | BinaryIO, most_pixels: int | None = None) -> Image.Image:
    """A picture file whose header has been read, within all limits."""
    head, size = _look(source)
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes are more than the limit of {MOST_BYTES}")
    try:
        image = Image.open(source, formats=_formats())
    except Image.DecompressionBombError as error:
        raise ValueError("more pixels than the limit") from error
    except Exception as error:
        raise ValueError(_no_picture(head)) from error
    try:
        _check_limits(image, source, most_pixels)
        if _of_16_bits(image):
            # Of colours in 16 bits Pillow keeps the upper byte.
            image.load()
            _refuse_narrow_16_bits(257 * max(high for _, high in _extremes(image)))
    except ValueError:
        image.close()
        raise
    except Exception as error:
        image.close()
        raise ValueError(f"damaged: {first_line(error)}") from error
    return image


def _of_16_bits(image: Image.Image) -> bool:
    """Whether a file of colours holds 16 bits of each."""
    tiles = getattr(image, "tile", None) or [None]
    layout = getattr(tiles[0], "args", "")
    rawmode = layout[0] if isinstance(layout, tuple) and layout else layout
    return image.mode in ("RGB", "RGBA", "LA") and ";16" in str(rawmode)


def _extremes(image: Image.Image) -> list[tuple[int, int]]:
    colours = image.getextrema()[: 1 if image.mode == "LA" else 3]
    return [(int(low), int(high)) for low, high in colours]  # type: ignore[misc]


def _check_limits(image: Image.Image, source: Path | BinaryIO, most_pixels: int | None) -> None:
    limits = [limit for limit in (most_pixels, Image.MAX_IMAGE_PIXELS) if limit is not None]
    if image.width * image.height > min(limits, default=image.width * image.height):
        raise ValueError(f"{image.width} x {image.height} pixels are more than the limit")
    if image.info.get("progressive"):
        scans = _content(source).count(b"\xff\xda")
        if scans > MOST_SCANS:
            raise ValueError(f"a JPEG of {scans} scans, more than the limit of {MOST_SCANS}")


def _look(source: Path | BinaryIO) -> tuple[bytes, int]:
    """The first bytes of a file and how many there are."""
    try:
        if isinstance(source, Path):
            # Opening a pipe waits for its other end, and a device never ends.
            if not stat.S_ISREG((status := source.stat()).st_mode):
                raise ValueError("no file, but a folder, a pipe or a device")
            with source.open("rb") as file:
                return file.read(64), status.st_size
        head, size = source.read(64), source.seek(0, io.SEEK_END)
        source.seek(0)
        return head, size
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _content(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        return source.read_bytes()
    place = source.tell()
    source.seek(0)
    content = source.read()
    source.seek(place)
    return content


def _no_picture(head: bytes) -> str:
    """Why a file that starts so is not taken."""
    if not head:
        return "an empty file"
    if _HEIF.match(head) and "HEIF" not in _formats():
        return "HEIC needs one more package: pip install pillow-heif"
    found = next((name for start, name in _STRANGERS.items() if head.startswith(start)), None)
    return f"no picture, but {found}" if found else "no picture of a known format, or damaged at its start"
