"""Rows of a scoring as they are made, a line each, so that it goes on where it stopped."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from iqa.errors import UserError
from iqa.files import no_room, remove_leftovers
from iqa.scoring.base import SCORES
from iqa.scoring.inputs import JOURNAL, Inputs
from iqa.scoring.results import RESULTS

#: Layout of the journal; one of another layout is refused.
FORMAT = 2


def free_folder(wanted: Path, root: Path) -> Path:
    """`wanted`, or the first of <wanted>-2, -3, ... that does not hold scores of another folder of pictures."""
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not (folder / JOURNAL).is_file():
            break
        with (folder / JOURNAL).open("rb") as file:
            if _plain(file.readline()).get("root") == os.path.realpath(root):
                break
    return folder


class Journal:
    """The rows scored so far in a folder of results; held by one process at a time.

    The first line says which model and which root they belong to, every other line is a picture. A line that a
    kill cut short is dropped.

    Args:
        folder: of results; made if missing.
        model: digest of the checkpoint.
        coverage: of the intervals.
        inputs: what is scored.

    Attributes:
        stamps: by picture, what its file was like when it was scored; see `stamp`.

    Raises:
        UserError: the folder belongs to another model, to other pictures, to another process or to someone else.
        IqaError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, model: str, coverage: float, inputs: Inputs) -> None:
        self._path = folder / JOURNAL
        header = {"format": FORMAT, "model": model, "coverage": coverage, "root": os.path.realpath(inputs.root)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".scores.lock", timeout=0)
            self._lock.acquire()
        except Timeout as error:
            raise UserError(f"another process is scoring into {folder}", fix="wait for it, or give --output") from error
        except OSError as error:
            raise no_room(self._path, error) from error
        try:
            remove_leftovers(folder)
            self._claim(header)
            self.stamps: dict[str, str] = {row["image"]: row["stamp"] for row in self._rows()}
            self._file = self._path.open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.release()

    def pending(self, inputs: Inputs) -> list[str]:
        """Names whose pictures are not scored yet, or have changed since, each once and in order."""
        names = [name for name in dict.fromkeys(inputs.names) if name not in inputs.faults]
        return [name for name in names if self.stamps.get(name) != stamp(inputs.path(name))] if self.stamps else names

    def append(self, names: Sequence[tuple[str, str]], scores: pd.DataFrame) -> None:
        """Keep rows: (name, stamp) pairs, and the table of their scores and errors; on disk when this returns.

        Raises:
            IqaError: the disk is full.
        """
        lines = []
        for (name, mark), row in zip(names, scores.to_dict("records"), strict=True):
            plain = {key: None if pd.isna(value) else value for key, value in row.items()}
            lines.append(json.dumps({"image": name, "stamp": mark, **plain}) + "\n")
        left, whole = "".join(lines).encode(), os.fstat(self._file.fileno()).st_size
        try:
            while left:  # a disk that fills up takes a part
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(whole)
            raise no_room(self._path, error) from error
        self.stamps |= names

    def table(self, inputs: Inputs) -> pd.DataFrame:
        """One row for each of the inputs' names, in order: image, SCORES, error, note."""
        places = {name: place for place, name in enumerate(dict.fromkeys(inputs.names))}
        figures = np.full((len(places), len(SCORES)), math.nan)
        errors, notes = (np.full(len(places), None, dtype=object) for _ in range(2))
        for name, fault in inputs.faults.items():
            errors[places[name]] = fault
        for row in self._rows():
            place = places.get(row["image"])
            if place is not None and row["image"] not in inputs.faults:
                figures[place] = [math.nan if row.get(key) is None else row[key] for key in SCORES]
                errors[place], notes[place] = row["error"], row.get("note")
        rows = [places[name] for name in inputs.names]
        table = pd.DataFrame(figures[rows], columns=list(SCORES)).astype({"cluster": "Int64"})
        table.insert(0, "image", [_printable(name) for name in inputs.names])
        table["error"] = pd.Series(errors[rows], dtype=object)
        table["note"] = pd.Series(notes[rows], dtype=object)
        return table

    def _claim(self, header: dict[str, Any]) -> None:
        """Make the journal ours: begin it, or check whose it is and cut off a torn last line."""
        folder = self._path.parent
        whole = _whole_bytes(self._path)
        if not whole:
            if results := [name for name in RESULTS if (folder / name).exists()]:
                raise UserError(
                    f"{folder} holds files that would be overwritten",
                    got=", ".join(results),
                    fix="give another --output, or move them away",
                )
            try:
                self._path.write_text(json.dumps(header) + "\n", encoding="utf-8")
            except OSError as error:
                raise no_room(self._path, error) from error
            return
        if whole < self._path.stat().st_size:
            os.truncate(self._path, whole)
        with self._path.open("rb") as file:
            before = _plain(file.readline())
        for key, what in (("format", "layout"), ("model", "model"), ("root", "folder of pictures")):
            if before.get(key) != header[key]:
                raise UserError(
                    f"{folder} holds scores of another {what}",
                    got=before.get(key),
                    expected=header[key],
                    fix="give another --output, or remove that folder",
                )

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            next(file)
            yield from filter(_is_row, map(_plain, file))


def stamp(path: Path) -> str:
    """What changes when a file does, as text; "" where there is none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ""
    # The time of the last change of rights counts too: what could not be read then may be readable now.
    return f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"


def _is_row(row: dict[str, Any]) -> bool:
    """Whether a line holds what was written of a picture; of one that does not, the picture is scored again."""
    texts = [row.get(key) for key in ("error", "note")]
    figures = [row.get(key) for key in SCORES]
    cluster = row.get("cluster")
    return (
        all(isinstance(row.get(key), str) for key in ("image", "stamp"))
        and all(text is None or isinstance(text, str) for text in texts)
        and all(each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in figures)
        and (cluster is None or float(cluster).is_integer())
    )


def _plain(line: bytes) -> dict[str, Any]:
    """A line of the journal; {} for one that a disk has damaged, so that its picture is scored again."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _whole_bytes(path: Path) -> int:
    """Bytes up to the end of the last whole line; 0 without a file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - 4096)
            file.seek(start)
            place = file.read(size - start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
            size = start
    return 0


def _printable(name: str) -> str:
    """A name as UTF-8 can write it; file systems allow bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()
