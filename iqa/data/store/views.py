"""How a picture of any size becomes the squares that a model sees: the same way in training, test and scoring.

Quality lies in the pixels' own scale and in their proportions, so by default nothing is squeezed: the short side is
scaled to the squares' side and as many squares as it takes, up to a limit, are cut evenly spread along the long one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from iqa.config.data import DataConfig
from iqa.errors import UserError

#: Scored pictures are seen at this side where the config says nothing: finer pixels say more (.820 SRCC at 256 px,
#: .844 at 512 on BIQ2021).
SCORED_SIDE = 512
#: Squares of one picture, whatever the config says, where it was not trained on scored pictures.
SYNTHETIC_CROPS = 4
#: What settings allow (`data.picture_size`, `data.crops`), and files that were written by them.
LARGEST_SIDE, MOST_CROPS = 2048, 64

Resize = Literal["short_side", "squash", "none"]


@dataclass(frozen=True)
class ViewPolicy:
    """What squares are cut from a picture.

    Attributes:
        side: of the squares, in pixels.
        resize: "short_side" scales the picture until its short side is `side`; "squash" squeezes it into one
            square; "none" leaves its pixels as they are, unless it is smaller than a square.
        crops: at most so many squares.
    """

    side: int
    resize: Resize = "short_side"
    crops: int = SYNTHETIC_CROPS

    @classmethod
    def from_config(cls, data: DataConfig, side: int | None = None) -> ViewPolicy:
        """The policy of a data section; `side` is what the set was prepared at, where that is known."""
        if not data.scored:
            return cls(side or data.picture_size or SCORED_SIDE)
        return cls(side or data.picture_size or SCORED_SIDE, data.resize, data.crops)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ViewPolicy:
        """Out of a checkpoint.

        Raises:
            ValueError: a size that no config allows, or a way to resize that is not known.
        """
        views = cls(**values)
        sizes = (views.side, LARGEST_SIDE), (views.crops, MOST_CROPS)
        if any(type(size) is not int or not 1 <= size <= most for size, most in sizes):
            raise ValueError(f"squares of {views.side!r} pixels, {views.crops!r} of a picture")
        if views.resize not in get_args(Resize):
            raise ValueError(f"pictures resized by {views.resize!r}")
        return views

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def cut(self, picture: Image.Image) -> np.ndarray:
        """The squares of an RGB picture, uint8 [n, side, side, 3] with 1 <= n <= crops; nothing is random.

        Raises:
            UserError: a picture that is not RGB.
            ValueError: a picture so narrow that its squares would be all enlargement.
        """
        if picture.mode != "RGB":
            raise UserError("squares are cut from RGB pictures", got=picture.mode)
        self._refuse_slivers(picture)
        resized = self._resized(picture)
        pixels = np.asarray(resized)
        squares = [pixels[y : y + self.side, x : x + self.side] for y, x in self._corners(*resized.size)]
        return np.stack(squares)

    def _refuse_slivers(self, picture: Image.Image) -> None:
        """A line of pixels scaled up until its short side fills a square would fill the memory too."""
        limit = Image.MAX_IMAGE_PIXELS
        scale = self.side / min(picture.size)
        if self.resize != "squash" and limit and scale > 1 and picture.width * picture.height * scale**2 > limit:
            raise ValueError(f"{picture.width} x {picture.height} pixels are too narrow to be scored")

    def _resized(self, picture: Image.Image) -> Image.Image:
        if self.resize == "squash":
            size = self.side, self.side
        else:
            scale = self.side / min(picture.size)
            if self.resize == "none":
                scale = max(1.0, scale)
            size = max(self.side, round(picture.width * scale)), max(self.side, round(picture.height * scale))
        return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)

    def _corners(self, width: int, height: int) -> list[tuple[int, int]]:
        """Top left corners (y, x) of squares that cover the picture, or as much of it as `crops` squares can."""
        rows, columns = math.ceil(height / self.side), math.ceil(width / self.side)
        while rows * columns > self.crops:
            if rows >= columns:
                rows -= 1
            else:
                columns -= 1
        return [(y, x) for y in _spread(height - self.side, rows) for x in _spread(width - self.side, columns)]


def _spread(room: int, count: int) -> list[int]:
    """`count` offsets evenly over 0..room; a single one in the middle."""
    if count == 1:
        return [room // 2]
    return [round(number * room / (count - 1)) for number in range(count)]
