"""Files and folders of a published set, where its archives put them when they are unpacked."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

#: So many entries of a folder are shown in messages.
SHOWN = 12


def find(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `names` that is there, in `root` or in the one folder of it that has it.

    Names are paths with / between folders, the case of letters does not matter, and "x/.." is the folder that
    holds x. Archives with a folder of their own, such as kadid10k/kadid10k/images, are why one folder may lie
    between; a name that two of them have is not there.
    """
    folders = sorted(place for place in root.iterdir() if place.is_dir())
    for name in names:
        if (place := _below(root, name)) is not None:
            return place
        found = [place for folder in folders if (place := _below(folder, name)) is not None]
        if len(found) == 1:
            return found[0]
    return None


def below(folder: Path, names: Sequence[str]) -> list[str]:
    """Bare names of pictures as paths below `folder`: some archives sort pictures into folders, some do not.

    A name stays as it is where a file in `folder` itself has it, and where none or several below it have it.
    """
    places: defaultdict[str, list[str]] = defaultdict(list)
    for directory, _, files in os.walk(folder):
        inner = Path(directory).relative_to(folder).as_posix()
        for file in files:
            places[file.casefold()].append(file if inner == "." else f"{inner}/{file}")
    return [_place(name, places.get(name.casefold(), [])) for name in names]


def listing(folder: Path) -> str:
    """What is in a folder, for messages."""
    names = sorted(place.name + ("/" if place.is_dir() else "") for place in folder.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{folder} with {', '.join(names[:SHOWN])}{more}" if names else f"{folder}, which is empty"


def _place(name: str, found: list[str]) -> str:
    return found[0] if len(found) == 1 and "/" in found[0] else name


def _below(folder: Path, name: str) -> Path | None:
    """`folder / name` whatever the case of its letters, or None."""
    place = folder
    for part in name.split("/"):
        if part == "..":
            place = place.parent
            continue
        if not (place / part).exists():
            same = [other for other in _names(place) if other.casefold() == part.casefold()]
            if len(same) != 1:
                return None
            part = same[0]
        place = place / part
    return place


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
