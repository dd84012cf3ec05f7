"""What a user wants scored: a folder, a glob, one picture or a table, as names under a root."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError, nearest

if TYPE_CHECKING:
    from iqa.data.scored.tables import Table

#: What `Inputs.left_out` calls entries that have no suffix to go by.
HIDDEN, NO_SUFFIX, FOLDER_LINKS = "hidden", "no suffix", "links to folders"
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
        left_out: how many files of a folder or glob are no pictures, by suffix in lower case, such as ".psd"; hidden
            ones, those without a suffix and links to folders by the words HIDDEN, NO_SUFFIX and FOLDER_LINKS.
    """

    label: str
    root: Path
    names: list[str]
    files: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

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
        from iqa.data.scored.tables import TABLES

        raise UserError(
            "--column and --root are for tables", got=f"the input {where}", expected=f"a file: {', '.join(TABLES)}"
        )
    if path.is_dir():
        _refuse_everything(path, where)
        return _named(_label(path), path, _folder(path), where)
    if path.is_file():
        return Inputs(_label(path.with_suffix("")), path.parent, [path.name])
    if glob.has_magic(where):
        base, files = _glob(str(path), where)
        return _named(_label(base), base, files, where)
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UserError(
        f"the input {where} does not exist",
        expected="a folder, a glob, a picture or a table",
        fix=nearest(path.name, beside),
    )


def _named(label: str, root: Path, files: Iterable[str], where: str) -> Inputs:
    """The pictures among files; the others are counted, and links that lead nowhere are faults."""
    names, faults, left_out = [], {}, Counter[str]()
    for name in files:
        last = name.rpartition("/")[2]
        if name.endswith("/"):
            left_out[FOLDER_LINKS] += 1
        elif last.startswith("."):
            left_out[HIDDEN] += 1
        elif not _is_picture(name):
            left_out[Path(last).suffix.lower() or NO_SUFFIX] += 1
        else:
            names.append(name)
            if not os.path.isfile(root / name):
                faults[name] = "a link that leads nowhere" if os.path.islink(root / name) else "no file"
    if len(names) == len(faults):
        found = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(12)) or "nothing"
        raise UserError(
            f"no pictures in {where}",
            got=found + (f", {len(faults)} links that lead nowhere" if faults else ""),
            expected=f"files ending in {', '.join(SUFFIXES)}",
            fix=_literal(where),
        )
    return Inputs(label, root, sorted(names), faults=faults, left_out=dict(left_out.most_common()))


def _literal(where: str) -> str | None:
    """Advice for a pattern whose brackets are part of a name."""
    parts = Path(where).expanduser().parts
    for number in range(len(parts), 0, -1):
        place = Path(*parts[:number])
        if "[" in str(place) and os.path.lexists(place):
            rest = parts[number:]
            pattern = Path(glob.escape(str(place)), *rest)
            return f"brackets stand for one of the signs in them; for {place} itself write '{pattern}'"
    return None


def _refuse_everything(root: Path, where: str) -> None:
    if root.resolve() == root.resolve().parent:
        raise UserError("the input is the whole file system", got=where, expected="the folder of the pictures")


def _folder(root: Path) -> Iterator[str]:
    """Files below `root`; hidden folders and folders of results are left out, links to folders end in /."""

    def tell(error: OSError) -> None:
        log.warning("%s is left out: %s", error.filename, error.strerror)

    for folder, below, files in os.walk(root, onerror=tell):
        if JOURNAL in files:
            below.clear()
            continue
        place = Path(folder).relative_to(root)
        # Links to folders may run in circles.
        yield from (f"{(place / name).as_posix()}/" for name in below if os.path.islink(os.path.join(folder, name)))
        below[:] = [name for name in below if not name.startswith(".")]
        yield from ((place / name).as_posix() for name in files)


def _glob(pattern: str, where: str) -> tuple[Path, Iterator[str]]:
    """The folder that a pattern starts from, and the files that it fits, relative to it.

    Links to files are followed, and links to folders where a part of the pattern fits them, not by **.
    """
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    _refuse_everything(base, where)
    wanted = [part if part == "**" else re.sub(r"\*\*+", "*", part) for part in parts[fixed:]]
    wanted += ["*"] if wanted[-1] == "**" else []
    hidden = any(part.startswith(".") for part in wanted)
    is_result = cache(lambda folder: os.path.exists(os.path.join(folder, JOURNAL)))

    def files() -> Iterator[str]:
        seen = set()
        for file in base.glob("/".join(wanted)):
            name = file.relative_to(base).as_posix()
            folders = name.split("/")[:-1]
            if name in seen or is_result(file.parent) or (file.is_dir() and not file.is_symlink()):
                continue
            seen.add(name)
            name += "/" * file.is_dir()
            if hidden or not any(folder.startswith(".") for folder in folders):
                yield name

    return base, files()


def _table(path: Path, column: str, root: Path) -> Inputs:
    from iqa.data.scored.cells import shown
    from iqa.data.scored.columns import text
    from iqa.data.scored.locate import check_root, locate
    from iqa.data.scored.strangers import refuse_stranger
    from iqa.data.scored.tables import TABLES, open_table

    if path.suffix.lower() not in TABLES:
        with path.open("rb") as file:
            refuse_stranger(path, file.read(2**20))
        raise UserError(
            f"the input {path} is of no known kind",
            expected=f"a picture ({', '.join(SUFFIXES)}) or a table ({', '.join(TABLES)})",
            fix="save a picture as PNG or JPEG, a table as CSV in UTF-8",
        )
    check_root(root, "--root", "the folder that the table's names are relative to")
    table = _open_list(open_table(path), root)
    place = _column(table, column)
    names = text(table.frame.iloc[:, place])
    found = locate(names, root, "--root")
    said = [f"{path.name}: {table.said}; pictures in '{shown(table.frame.columns[place])}'"]
    log.warning("%s", "; ".join(said + [found.said] * bool(found.said)))
    if not found.files:
        reasons = sorted(set(found.faults.values()))
        raise UserError(
            f"no picture of the table {path} is found in {root}",
            got=f"{shown(names[0])!r} and {len(found.faults) - 1} others: {', '.join(reasons)}",
            fix=found.hint or "give the folder that the names are relative to as --root, or another --column",
        )
    files = {name: file for name, file in found.files.items() if file != name}
    return Inputs(_label(path.with_suffix("")), root, names, files, found.faults)


def _open_list(table: Table, root: Path) -> Table:
    """A list of names, whose first one is easily taken for that of the column: it is none if there is such a file."""
    from iqa.data.scored.columns import USUAL
    from iqa.data.scored.locate import locate
    from iqa.data.scored.tables import open_table

    first = table.frame.columns[0]
    listed = isinstance(first, str) and table.frame.shape[1] == 1 and table.path.suffix != ".parquet"
    if listed and first.casefold() not in USUAL["image"] and locate([first], root, "--root").files:
        return open_table(table.path, header=False)
    return table


def _column(table: Table, wanted: str) -> int:
    """The number of the column of picture names: `wanted`, else one that is usually called so or holds pictures."""
    from iqa.data.scored.cells import columns_shown
    from iqa.data.scored.columns import picture_column

    if not wanted:
        return picture_column(table.frame, table.where, "--column")
    labels = [str(label) for label in table.frame.columns]
    if wanted in labels:
        return labels.index(wanted)
    same = [place for place, label in enumerate(labels) if label.casefold() == wanted.strip().casefold()]
    if len(same) == 1:
        return same[0]
    if wanted.isdecimal() and int(wanted) < len(labels):
        return int(wanted)
    raise UserError(
        f"the table {table.where} has no column '{wanted[:100]}'",
        expected=f"one of its columns: {columns_shown(labels)}",
        fix="name the column of picture names with --column",
    )


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _label(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", path.resolve().name).strip("._") or "pictures"
