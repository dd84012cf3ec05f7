"""Pictures as a client sent them, opened by the rules for what strangers send."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from iqa.data.store.pictures import read_rgb
from iqa.data.store.rules import Rules
from iqa.scoring.picture import Offered, held_by, no_picture

#: Said of every text that holds no picture, whatever it may name on the server's disk.
NOT_HELD = "no picture in base64, which is all that this server reads"
NOT_SERVED = "neither a picture in base64 nor a file that this server reads"


def admit(values: Iterable[object], rules: Rules) -> list[Sent]:
    """A picture for each value of a request, in order; those beyond the limit say so when they are opened."""
    return [
        Sent(value, rules) if number < rules.most_pictures else Sent(None, rules, surplus=True)
        for number, value in enumerate(values)
    ]


@dataclass(frozen=True)
class Sent(Offered):
    """One value of a request, opened by the rules.

    Attributes:
        surplus: it is beyond the number of pictures that a request may hold.
    """

    value: object
    rules: Rules
    surplus: bool = False

    def opened(self) -> Image.Image:
        """It as 8-bit RGB, upright.

        Raises:
            ValueError: it is no picture, or against the rules; the message names nothing that the server has.
        """
        if self.surplus:
            raise ValueError(f"more pictures in a request than the limit of {self.rules.most_pictures}")
        # By its content, never by its path: no decoder's message can name a file.
        return read_rgb(io.BytesIO(self._content()), self.rules.most_pixels)

    def _content(self) -> bytes:
        value, rules = self.value, self.rules
        if isinstance(value, str) and value.strip():
            # Base64 takes four letters for three bytes, and a line break or two after each line.
            if len(value) > 2 * rules.most_bytes + 1000:
                raise ValueError(f"more bytes than the limit of {rules.most_bytes}")
            content = held_by(value)
            if content is None:
                content = rules.in_root(value)
            if content is None:
                raise ValueError(NOT_SERVED if rules.root else NOT_HELD)
        elif isinstance(value, bytes | bytearray | memoryview):
            content = bytes(value)
        else:
            raise ValueError(no_picture(None if isinstance(value, str) else value))
        rules.weigh(content)
        return content
