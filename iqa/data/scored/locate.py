"""Finding the picture files that a table names, without ever leaving the folder that it may speak of."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from iqa.data.store.pictures import SUFFIXES

#: Why no file can be given for a name.
NO_NAME = "no picture name"
OUTSIDE = "outside the image root"
MISSING = "missing"
AMBIGUOUS = "name fits several files"


class NotFound(Exception):
    """No file can be given for a name; `reason` is one of the constants above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PictureIndex:
    """All files below a folder, to be found by names that are written a little differently.

    The folder is read once, when this is made. Links are followed only to files below the folder, and a link
    and its file are one picture.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root).rstrip("/")
        self._own_names = (f"{self._root}/", f"{os.path.abspath(root)}/")
        #: What is read for a name: the name itself, the file that it links to, or None for one outside.
        self._files: dict[str, str | None] = {}
        self._folded: defaultdict[str, list[str]] = defaultdict(list)
        self._stems: defaultdict[str, list[str]] = defaultdict(list)
        for name, file in self._scan():
            self._files[name] = file
            self._folded[_fold(name)].append(name)
            if _is_picture(name):
                self._stems[_fold(_stem(name))].append(name)

    def find(self, name: str) -> str:
        """The file that a table means, relative to the root, with / between folders, spelled as on disk.

        The exact name goes first; then the one file that differs only in case, Unicode form or percent signs;
        then, for a name that does not end like a picture's, the one picture with that stem.

        Raises:
            NotFound: with the reason.
        """
        if not name:
            raise NotFound(NO_NAME)
        relative = name if name in self._files else self._below_root(name)
        found = relative if relative in self._files else _only(relative, self._folded.get(_fold(relative), ()))
        if found is None and not _is_picture(relative):
            found = _only(relative, self._stems.get(_fold(relative), ()), part=_stem)
        file = self._through_links(relative) if found is None else self._files[found]
        if file is None:
            raise NotFound(OUTSIDE)
        return file

    def elsewhere(self, name: str) -> str | None:
        """The one folder, relative to the root, that has a file whose last name is that of `name`; or None."""
        last = _fold(_last(name.replace("\\", "/")))
        folders = {os.path.dirname(files[0]) for key, files in self._folded.items() if _last(key) == last}
        return folders.pop() if len(folders) == 1 else None

    def _scan(self) -> Iterator[tuple[str, str | None]]:
        """Every file below the root: its name, and the file that it stands for (None: outside)."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(f"{self._root}/{folder}"))
            except PermissionError:
                continue  # what a table names in there is reported as missing
            for entry in entries:
                name = folder + entry.name
                if not _is_text(name):
                    continue  # no table can name it
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                elif entry.is_file():
                    yield name, self._inside(entry.path) if entry.is_symlink() else name

    def _below_root(self, name: str) -> str:
        """A name as a path below the root, without detours; paths that leave it are refused."""
        path = name.replace("\\", "/")
        for own in self._own_names:
            path = path.removeprefix(own)
        if path.startswith("/") or PureWindowsPath(path).drive:
            raise NotFound(OUTSIDE)
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if not parts:
                    raise NotFound(OUTSIDE)
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def _through_links(self, relative: str) -> str | None:
        """The file behind links to folders, which the scan leaves alone: they may run in circles."""
        path = f"{self._root}/{relative}"
        if "\0" in relative or not os.path.isfile(path):
            raise NotFound(MISSING)
        return self._inside(path)

    def _inside(self, path: str) -> str | None:
        """The true place of a path, relative to the root; None if it is outside."""
        real = os.path.realpath(path)
        return real.removeprefix(f"{self._root}/") if real.startswith(f"{self._root}/") else None


def _fold(name: str) -> str:
    """What is the same for all ways of writing a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", unquote(name)).casefold())


def _only(name: str, candidates: Sequence[str], part: Callable[[str], str] = str) -> str | None:
    """The one candidate, or the one of several that is (by its part) `name` in case; None if there is none."""
    if len(candidates) > 1:
        form = unicodedata.normalize("NFC", name)
        candidates = [other for other in candidates if unicodedata.normalize("NFC", part(other)) == form]
        if len(candidates) != 1:
            raise NotFound(AMBIGUOUS)
    return candidates[0] if candidates else None


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
