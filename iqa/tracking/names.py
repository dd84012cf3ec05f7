"""What figures are called in MLflow: grouped, and by names that every store of MLflow takes."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

#: Figures by the names that they have here, and had in MLflow up to version 0.1 -> where they stand in MLflow. Its
#: pages group figures by what is before the last slash and sort the groups, so that the curves of training come first.
GROUPED = {
    "learning_rate": "epoch/train/learning_rate",
    "best_epoch": "val/best_epoch",
    "effective_clusters": "mixture/effective_clusters",
    "dead_components": "mixture/dead_components",
    "largest_responsibility": "mixture/largest_responsibility",
    "log_likelihood": "mixture/log_likelihood",
    "parameters_millions": "model/parameters_millions",
    "images_per_second": "speed/images_per_second",
    "median_images_per_second": "speed/median_images_per_second",
    "seconds": "speed/seconds",
    "training_seconds": "speed/training_seconds",
}
#: The same for all figures whose names begin alike.
GROUPS = {
    "train_": "epoch/train/",
    "val_": "epoch/val/",
    "best_val_": "val/best_",
    "test_": "test/",
    "score_": "score/",
}
#: Bytes of a name, so that it is neither too long for a column nor, as files are kept, for a file.
LONGEST = 250
#: A figure's name in MLflow -> tag that tells what it is called here, where that is another name.
CALLED = "metric."
#: What MLflow takes in a name wherever it runs; a server on Windows takes no colon.
ALLOWED = re.compile(r"[\w.\- ]+(/[\w.\- ]+)*")
DIGEST = 12


class Figures(dict[str, float | None]):
    """Figures by their names in MLflow, and what those are `called` here that had to be given another name.

    A tracker logs `called` as tags `metric.<name in MLflow>`: they go with the figures in one request, and what several
    reports of a run say of their figures adds up, where a file would be overwritten.
    """

    def __init__(self, figures: Mapping[str, float | None], called: Mapping[str, str]) -> None:
        super().__init__(figures)
        self.called = dict(called)


def grouped(name: str) -> str:
    """Where a figure of this name stands in MLflow; one with a slash is in its group already."""
    if "/" in name or name in GROUPED:
        return GROUPED.get(name, name)
    return next((group + name.removeprefix(start) for start, group in GROUPS.items() if name.startswith(start)), name)


def metric_names(wanted: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A name that every store of MLflow takes for each of `wanted`, none of them alike and none of them `taken`.

    A name that MLflow takes stays as it is. Another one is made readable and ends in a digest of what it was, so that
    it is the same in every run. Names are alike where some store mixes them: MySQL and Windows do not tell upper from
    lower case, nor e from é, and in a folder of files `a` leaves no room for `a/b`.
    """
    used, parents = set(), set()
    for name in taken:
        used.add(_folded(name))
        parents.update(_above(name))
    result = dict.fromkeys(range(len(wanted)), "")
    for place in sorted(result, key=lambda place: (not _is_taken_by_all(wanted[place]), wanted[place])):
        for name in _candidates(wanted[place]):
            own, above = _folded(name), _above(name)
            if own not in used and own not in parents and used.isdisjoint(above):
                break
        used.add(own)
        parents.update(above)
        result[place] = name
    return list(result.values())


def _candidates(wanted: str) -> Iterator[str]:
    if _is_taken_by_all(wanted):
        yield wanted
    group, slash, rest = unicodedata.normalize("NFC", wanted).partition("/")
    if not slash or not _is_taken_by_all(group):
        group, rest = "", group + slash + rest
    for attempt in count():
        if attempt == 1:  # a figure of the group's name leaves no room in it
            group, rest = "", f"{group}/{rest}"
        readable = f"{group}/" * bool(group) + re.sub(r"[^\w.-]+", "_", rest).lstrip(".")
        # Room for a digest, and for the tag that tells what it stands for.
        start = readable.encode()[: LONGEST - len(CALLED) - DIGEST - 1].decode(errors="ignore")
        told = f"{wanted}\0{attempt}" if attempt else wanted
        digest = hashlib.sha256(told.encode(errors="backslashreplace")).hexdigest()
        yield f"{start}-{digest[:DIGEST]}"


def _is_taken_by_all(name: str) -> bool:
    return (
        ALLOWED.fullmatch(name) is not None
        and len(name.encode()) <= LONGEST
        and posixpath.normpath(name) == name
        and not name.startswith("..")
        # Windows drops these from a file's name, and databases that pad do not see the spaces.
        and not any(part.endswith((" ", ".")) for part in name.split("/"))
    )


def _folded(name: str) -> str:
    """What is left of a name where case and accents do not count."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


def _above(name: str) -> set[str]:
    """Folders that a file of this name would lie in."""
    parts = _folded(name).split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}
