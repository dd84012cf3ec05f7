"""What a user wants scored: a folder, a glob, one picture or a table, as names under a root."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError, nearest

if TYPE_CHECKING:
    import pandas as pd

#: Endings of tables; `iqa.data.scored.tables` tells them apart by content.
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
#: Marks a folder of results, whose figures are no pictures to score.
JOURNAL = "scores.journal.jsonl"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Pictures by name, in order.

    Attributes:
        label: a short word for them all, fit for a file name.
        root: the folder that names are relative to.
        names: with / between folders; one that a table repeats is repeated here.
        files: where a picture is below the root, for names that are not the file's own.
        faults: why no file can be given for a name.
    """

    label: str
    root: Path
    names: list[str]
    files: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """The file of a name that is not among the faults."""
        return self.root / self.files.get(name, name)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of names and faults, not of what is in the files."""
        mark = hashlib.sha256()
        for name in self.names:
            mark.update(f"{name!a} {self.faults.get(name, '')!a}\n".encode())
        return mark.hexdigest()


def find_inputs(where: str, *, column: str = "", root: str = "") -> Inputs:
    """Look for the pictures that `where` names; a table's rows that name no file become faults.

    Args:
        where: a folder (searched with all below it), a glob (** for any folders), a picture, or a table with a
            column of picture names.
        column: that column, by name or by number from 0; "": found by usual names or by content.
        root: the folder that a table's names are relative to, and cannot leave; "": the table's own.

    Raises:
        UserError: there is no such thing, or no picture in it.
    """
    if not where:
        raise UserError(
            "nothing to score is named", expected="--input with a folder, a glob such as 'photos/**/*.jpg', or a table"
        )
    path = Path(where).expanduser()
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return _table(path, column, Path(root).expanduser() if root else path.parent)
    if column or root:
        raise UserError(
            "--column and --root are for tables", got=f"the input {where}", expected=f"a file: {', '.join(TABLES)}"
        )
    if path.is_dir():
        return _named(_label(path), path, _folder(path), where)
    if path.is_file():
        return _named(_label(path.with_suffix("")), path.parent, [path.name], where)
    if glob.has_magic(where):
        base, names = _glob(str(path))
        return _named(_label(base), base, names, where)
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UserError(
        f"the input {where} does not exist",
        expected="a folder, a glob, a picture or a table",
        fix=nearest(path.name, beside),
    )


def _named(label: str, root: Path, names: Iterable[str], where: str) -> Inputs:
    found = sorted(names)
    if not found:
        raise UserError(f"no pictures in {where}", expected=f"files ending in {', '.join(SUFFIXES)}")
    return Inputs(label, root, found)


def _folder(root: Path) -> Iterable[str]:
    """Pictures below `root`; hidden folders and folders of results are left out, links to folders not followed."""

    def tell(error: OSError) -> None:
        log.warning("%s is left out: %s", error.filename, error.strerror)

    for folder, below, files in os.walk(root, onerror=tell):
        if JOURNAL in files:
            below.clear()
            continue
        below[:] = [name for name in below if not name.startswith(".")]
        place = Path(folder).relative_to(root)
        yield from ((place / name).as_posix() for name in files if _is_picture(name))


def _glob(pattern: str) -> tuple[Path, list[str]]:
    """The folder that a pattern starts from, and the pictures that it fits, relative to it."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    is_result = cache(lambda folder: os.path.exists(os.path.join(folder, JOURNAL)))
    found = [
        Path(file).relative_to(base).as_posix()
        for file in glob.iglob(pattern, recursive=True)
        if _is_picture(file) and os.path.isfile(file) and not is_result(os.path.dirname(file))
    ]
    return base, found


def _table(path: Path, column: str, root: Path) -> Inputs:
    from iqa.data.scored.columns import text
    from iqa.data.scored.locate import NotFound, PictureIndex
    from iqa.data.scored.tables import read_table

    if path.suffix.lower() not in TABLES:
        raise UserError(
            f"the input {path} is of no known kind",
            expected=f"a picture ({', '.join(SUFFIXES)}) or a table ({', '.join(TABLES)})",
        )
    if not root.is_dir():
        raise UserError("--root is no folder", got=root, expected="the folder that the table's names are relative to")
    frame = read_table(path)
    names = text(frame.iloc[:, _column(frame, column, path)])
    index, files, faults = PictureIndex(root), {}, {}
    for name in dict.fromkeys(names):
        try:
            file = index.find(name)
        except NotFound as missing:
            faults[name] = missing.reason
        else:
            if file != name:
                files[name] = file
    if len(faults) == len(dict.fromkeys(names)):
        reasons = sorted(set(faults.values()))
        raise UserError(
            f"no picture of the table {path} is found in {root}",
            got=f"{names[0]!r} and {len(faults) - 1} others: {', '.join(reasons)}",
            fix="give the folder that the names are relative to as --root, or another --column",
        )
    return Inputs(_label(path.with_suffix("")), root, names, files, faults)


def _column(frame: pd.DataFrame, wanted: str, path: Path) -> int:
    """The number of the column of picture names: `wanted`, else one that is usually called so or holds pictures."""
    from iqa.data.scored.columns import USUAL
    from iqa.data.scored.tables import is_picture

    labels = [str(label) for label in frame.columns]
    plain = [re.sub(r"[\s._-]+", "", label).casefold() for label in labels]
    if wanted:
        found = [labels.index(wanted)] if wanted in labels else []
        if not found and wanted.isdecimal() and int(wanted) < len(labels):
            found = [int(wanted)]
    else:
        found = [plain.index(name) for name in USUAL["image"] if name in plain]
        found = found or [place for place in range(len(labels)) if frame.iloc[:, place].map(is_picture).mean() > 0.5]
    if not found:
        raise UserError(
            f"the table {path} has no column '{wanted}'" if wanted else f"no column of {path} looks like picture names",
            expected=f"one of its columns: {', '.join(labels)}",
            fix="name the column of picture names with --column",
        )
    return found[0]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _label(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", path.resolve().name).strip("._") or "pictures"
