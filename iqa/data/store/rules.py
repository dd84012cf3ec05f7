"""What is read of the pictures that strangers send, and within which limits.

A server reads what it is sent. Were it to read what a client names, its answers would tell what is on its disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from iqa.data.store.pictures import MOST_BYTES
from iqa.errors import UserError

#: Environment variables: the folder whose files a client may name, and the limits.
ROOT = "IQA_SERVE_ROOT"
BYTES, PIXELS, PICTURES = "IQA_SERVE_BYTES", "IQA_SERVE_PIXELS", "IQA_SERVE_PICTURES"
#: Pictures of a request, where no other limit is below.
MOST_PICTURES = 10**6
#: Characters; a longer text cannot be a path and is taken for a base64 picture.
LONGEST_PATH = 512


@dataclass(frozen=True)
class Rules:
    """What is read of what a client sends.

    Attributes:
        root: the folder, without links in its path, whose files a client may name; None: a client names no file.
        most_bytes, most_pixels: of a picture, 1 or more.
        most_pictures: of a request, 1 or more.
    """

    root: Path | None = None
    most_bytes: int = 2**25
    most_pixels: int = 64_000_000
    most_pictures: int = 100

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Rules:
        """The rules that IQA_SERVE_ROOT, IQA_SERVE_BYTES, IQA_SERVE_PIXELS and IQA_SERVE_PICTURES set.

        Raises:
            UserError: no folder, or no number within what can be read at all.
        """
        most_pixels = Image.MAX_IMAGE_PIXELS or 2**31
        return cls(
            _folder(environment.get(ROOT, "")),
            _limit(environment, BYTES, cls.most_bytes, MOST_BYTES),
            _limit(environment, PIXELS, cls.most_pixels, most_pixels),
            _limit(environment, PICTURES, cls.most_pictures, MOST_PICTURES),
        )

    def in_root(self, text: str) -> bytes | None:
        """The content of a file of `root`; None of what lies elsewhere, is none, or cannot be read.

        `..` is refused unseen: a path through other folders would tell by its success that they exist.

        Raises:
            ValueError: more bytes than the limit.
        """
        if self.root is None or len(text) > LONGEST_PATH or ".." in Path(text).parts:
            return None
        try:
            named = Path(text)
            inside = named.relative_to(self.root) if named.is_absolute() else named
            file = (self.root / inside).resolve(strict=True)
            file.relative_to(self.root)
            # Not to wait for the other end of a pipe, and not to follow what became a link just now.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                with open(descriptor, "rb", closefd=False) as opened:
                    content = opened.read(self.most_bytes + 1)
            finally:
                os.close(descriptor)
        except (OSError, ValueError, RuntimeError):  # absent, closed to us, no name of a file, links in a circle
            return None
        self.weigh(content)
        return content

    def weigh(self, content: bytes) -> None:
        """Refuse the bytes of a picture that are too many.

        Raises:
            ValueError: they are.
        """
        if len(content) > self.most_bytes:
            raise ValueError(f"more bytes than the limit of {self.most_bytes}")


def _folder(text: str) -> Path | None:
    if not text:
        return None
    folder = Path(text)
    if not folder.is_dir():
        raise UserError(f"{ROOT} is no folder", got=text, expected="the folder whose pictures clients may name")
    return folder.resolve()


def _limit(environment: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= most):
        raise UserError(f"{name} is no limit", got=text, expected=f"a whole number from 1 to {most}")
    return int(text)
