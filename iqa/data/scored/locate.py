"""Finding the picture files that a table names, without ever leaving the folder that it may speak of."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from iqa.data.scored.cells import shown
from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError

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


@dataclass
class Located:
    """The files of a table's names.

    Attributes:
        files: by name; relative to the root, with / between folders, spelled as on disk.
        faults: why there is none, by name.
        said: what was done to all names to find them, in words; or "".
        hint: what may mend the faults; or "".
    """

    files: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    said: str = ""
    hint: str = ""


def check_root(root: Path, setting: str, expected: str) -> None:
    """Refuse a folder of pictures that is none, or that is the whole file system.

    Raises:
        UserError: naming the setting.
    """
    if not root.is_dir():
        raise UserError(f"{setting} is no folder", got=root, expected=expected)
    if os.path.dirname(os.path.realpath(root)) == os.path.realpath(root):
        raise UserError(
            f"{setting} is the whole file system",
            got=root,
            expected=expected,
            fix="name the folder of the pictures; full paths in a table may begin with it",
        )


def locate(names: Sequence[str], root: Path, setting: str) -> Located:
    """The file of each name below `root`.

    Where not one of them is found, folders (or a drive, or a host) that all names begin with are left out, if what
    then remains is there for most of them in one way alone.

    Args:
        setting: what hints call the root.
    """
    index = PictureIndex(root)
    names = list(dict.fromkeys(names))
    found = _find_all(index, names)
    if found.files or not any(names):
        found.hint = _hint(index, found, root, setting)
        return found
    prefix = _common_folders([name for name in names if name])
    ways = []
    for folders in _beginnings(prefix):
        rest = _find_all(index, names, len(folders))
        if 2 * len(rest.files) > len(names):
            rest.said = f"names are read without '{shown(folders)}' before them"
            ways.append(rest)
    if len(ways) == 1:
        return ways[0]
    found.hint = _hint(index, found, root, setting, prefix)
    return found


def _find_all(index: PictureIndex, names: Sequence[str], start: int = 0) -> Located:
    found = Located()
    for name in names:
        try:
            found.files[name] = index.find(name[start:])
        except NotFound as error:
            found.faults[name] = error.reason
    return found


def _common_folders(names: Sequence[str]) -> str:
    """The folders that all names begin with, up to and with the last separator."""
    first, last = (name(each.replace("\\", "/") for each in names).split("/")[:-1] for name in (min, max))
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return names[0][: sum(len(folder) + 1 for folder, _ in shared)]


def _beginnings(prefix: str) -> Iterator[str]:
    """All beginnings of a prefix that end a folder; none where it goes up a folder."""
    plain = prefix.replace("\\", "/")
    if ".." in plain.split("/"):
        return
    for place, sign in enumerate(plain):
        if sign == "/" and plain[place + 1 : place + 2] != "/":
            yield prefix[: place + 1]


def _hint(index: PictureIndex, found: Located, root: Path, setting: str, prefix: str = "") -> str:
    """What may mend names that are not found."""
    lost = [name for name, reason in found.faults.items() if reason in (MISSING, OUTSIDE)]
    plain = prefix.replace("\\", "/")
    if plain.startswith("/") and plain.strip("/") and ".." not in plain.split("/") and os.path.isdir(plain):
        return f"these names are full paths below {plain}: set {setting} to that folder"
    for name in lost:
        folder = index.elsewhere(name)
        if folder == "":
            before = name[: len(name) - len(_last(name.replace("\\", "/")))]
            rest = f"strip what stands before them in the table, such as '{shown(before)}'"
            return f"{root} has files of these names: {rest}" if before else ""
        if folder is not None:
            return f"a file named like {shown(name)} is in {root / folder}, is that {setting}?"
    return ""


class PictureIndex:
    """All files below a folder, to be found by names that are written a little differently.

    The folder is read once, when this is made. A link below it was put there by whoever owns it: a link to a file
    is followed wherever it leads, one to a folder where a name spells it out. A link and its file are one picture
    if both are below the folder, and so are two links to one file.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root).rstrip("/")
        self._own_names = (f"{self._root}/", f"{os.path.abspath(root)}/")
        #: What is read for a name: the name itself, or the one of the file that it links to.
        self._files: dict[str, str] = {}
        #: The name of each file by its device and number; of links, only where the file is not below the root itself.
        self._known: dict[tuple[int, int], str] = {}
        links = []
        for name, place, is_link in self._scan():
            if is_link:
                links.append((name, place))
            else:
                self._files[name] = name
                self._known[place] = min(name, self._known.get(place, name))
        for name, place in sorted(links):
            self._files[name] = self._known.setdefault(place, name)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        """All names by what is the same for all ways of writing them: only where a table does not write them so."""
        return _by(_fold, self._files)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """The names of pictures by their stems, in the same way."""
        return _by(lambda name: _fold(_stem(name)), filter(_is_picture, self._files))

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
        return self._through_folders(relative) if found is None else self._files[found]

    def elsewhere(self, name: str) -> str | None:
        """The one folder, relative to the root, that has a file whose last name is that of `name`; or None."""
        last = _fold(_last(name.replace("\\", "/")))
        folders = {os.path.dirname(files[0]) for key, files in self._folded.items() if _last(key) == last}
        return folders.pop() if len(folders) == 1 else None

    def _scan(self) -> Iterator[tuple[str, tuple[int, int], bool]]:
        """Every file below the root: its name, its device and number, and whether the name is a link to it."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(f"{self._root}/{folder}"))
                device = os.stat(f"{self._root}/{folder}").st_dev
            except OSError:
                continue  # what a table names in there is reported as missing
            for entry in entries:
                name = folder + entry.name
                if not _is_text(name):
                    continue  # no table can name it
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
                    elif entry.is_symlink():
                        if entry.is_file():
                            status = entry.stat()
                            yield name, (status.st_dev, status.st_ino), True
                    elif entry.is_file():
                        yield name, (device, entry.inode()), False
                except OSError:
                    continue  # a link that leads back to itself is no picture

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

    def _through_folders(self, relative: str) -> str:
        """The file behind links to folders, which the scan leaves alone: they may run in circles."""
        try:
            status = os.stat(f"{self._root}/{relative}")
        except (OSError, ValueError) as error:
            raise NotFound(MISSING) from error
        if not os.path.isfile(f"{self._root}/{relative}"):
            raise NotFound(MISSING)
        return self._known.setdefault((status.st_dev, status.st_ino), relative)


def _by(key: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[key(name)].append(name)
    return dict(found)


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
