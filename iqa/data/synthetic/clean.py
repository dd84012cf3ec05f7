"""Clean pictures by name: what every source offers, and square crops of photograph files."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from iqa.data.store.pictures import check_header, picture_digest, read_rgb, refuse_unreadable

#: Pillow modes of pictures without colour.
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
#: A photograph is kept at this many times the side of the pictures cut from it: room to zoom, little memory.
ZOOM = 2.0
#: Bytes of decoded photographs that a source keeps while crops are cut from them.
DECODED_BYTES = 2**28


class CleanSource(ABC):
    """Clean pictures, split by the photograph they come from.

    Making one is cheap; a data set is opened, and pictures are decoded, when they are asked for.
    """

    #: Side in pixels of the square pictures that `read` gives.
    picture_size: int
    #: Whether one content gives many pictures, "content#0", "content#1", ...
    crops: bool
    #: What each content that has been read is known by; see `picture_digest`.
    known_by: dict[str, str]

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that changes when the clean pictures change."""

    @abstractmethod
    def contents(self) -> Mapping[str, Sequence[str]]:
        """Names of the clean photographs of each split; no name is in two splits."""

    @abstractmethod
    def read(self, image: str) -> np.ndarray:
        """A clean picture as uint8 [picture_size, picture_size, 3], by the name that a manifest gives it.

        Safe to call from several threads.

        Raises:
            ValueError: it cannot be decoded; the message says why.
        """

    def colourless(self) -> frozenset[str]:
        """Contents without colour."""
        return frozenset()


class PhotographSource(CleanSource):
    """Square crops of photograph files, named by their content."""

    crops = True

    def __init__(self, files: Mapping[str, Path], splits: Mapping[str, Sequence[str]], side: int, mark: str):
        self.picture_size = side
        self._files = files
        self._splits = splits
        self._fingerprint = mark
        self.known_by = {}
        # One photograph gives many crops and is decoded once; twice the short side stands for the long one.
        size = round(3 * 2 * (ZOOM * side) ** 2)
        self._photograph = lru_cache(maxsize=max(4, DECODED_BYTES // size))(self._decode)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def contents(self) -> Mapping[str, Sequence[str]]:
        return self._splits

    def read(self, image: str) -> np.ndarray:
        content, _, number = image.rpartition("#")
        return square_crop(self._photograph(content), self.picture_size, content, int(number))

    def colourless(self) -> frozenset[str]:
        """Contents without colour; reading all headers also finds what is no picture before work starts."""
        modes, faults = {}, {}
        for name, path in self._files.items():
            try:
                modes[name] = check_header(path)
            except ValueError as error:
                faults[name] = str(error)
        refuse_unreadable(faults)
        return frozenset(name for name, mode in modes.items() if mode in GREY_MODES)

    def _decode(self, content: str) -> Image.Image:
        photograph = read_rgb(self._files[content])
        self.known_by[content] = picture_digest(photograph)
        return shrink(photograph, self.picture_size)


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
