"""Whether prepared files are still those that were written: told at every start without reading them whole.

When a folder is built, each file's size and SHA-256 are recorded, and the hash of samples of it. Beside them stands
when the files were last found whole, by their sizes and times of change. A start compares sizes, times and samples,
some megabytes whatever the size of the files. Where a time differs, as after copying, restoring or writing to them,
they are hashed whole, as `iqa doctor` always does. What remains unseen in between is what a disk loses without a write:
of lost pages samples find some, of single bits hardly one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from iqa.files import content_of

RECORD = "record.json"
#: When the files were last hashed and found whole.
SEEN = "seen.json"
#: What the pictures of a folder are known by (`picture_digest`), one for each; no part of what the folder's own digest
#: is of.
KNOWN_BY = "known_by.json"
#: What a damaged record raises.
UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
#: Samples of a file, evenly placed, the first and last bytes among them; bytes of each.
SAMPLES, SAMPLE = 64, 2**14

Files = dict[str, dict[str, Any]]


def verify(folder: Path, *, whole: bool = False) -> str | None:
    """SHA-256 (hex) of a folder's contents if its files are those of its record, else None.

    Args:
        whole: hash them whole, whatever their times.
    """
    try:
        files = recorded(folder)
        if not whole and _seen(folder) == _times(folder, files) and all("sample" in each for each in files.values()):
            fine = all(_sampled(folder / name) == about["sample"] for name, about in files.items())
            return digest_of(files) if fine else None
        if any(describe(folder / name)["sha256"] != about["sha256"] for name, about in files.items()):
            return None
    except UNUSABLE:
        return None
    # On a disk that may only be read the next start hashes again.
    with contextlib.suppress(OSError):
        note_whole(folder, files)
    return digest_of(files)


def describe(path: Path) -> dict[str, Any]:
    """What is recorded of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest, "sample": _sampled(path)}


def note_whole(folder: Path, files: Files) -> None:
    """Note that the files were hashed and found whole as they are now."""
    (folder / SEEN).write_text(json.dumps(_times(folder, files)), encoding="utf-8")


def recorded(folder: Path) -> Files:
    """What is recorded of a folder's files.

    Raises:
        one of UNUSABLE: there is no record, or a damaged one.
    """
    files: Files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    return files


def read_array(path: Path, mmap_mode: Literal["r", "c"] | None = None) -> np.ndarray:
    """An array that was saved as .npy; none that holds objects, which could run anything.

    Raises:
        UserError: it is damaged, or holds objects.
    """
    with content_of(path, "an array of numbers", f"remove {path.parent}, which is built again"):
        array: np.ndarray = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        return array


def digest_of(files: Files) -> str:
    """The SHA-256 (hex) of a folder's contents, by those of its files."""
    parts = [(name, files[name]["sha256"]) for name in sorted(files) if name != KNOWN_BY]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _seen(folder: Path) -> object:
    try:
        return json.loads((folder / SEEN).read_text(encoding="utf-8"))
    except UNUSABLE:
        return None


def _times(folder: Path, files: Files) -> dict[str, list[int]]:
    """Size in bytes and time of the last change, in nanoseconds, of each file."""
    status = {name: (folder / name).stat() for name in files}
    return {name: [each.st_size, each.st_mtime_ns] for name, each in status.items()}


def _sampled(path: Path) -> str:
    """SHA-256 (hex) of a file's samples."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        for part in _samples(file, path.stat().st_size):
            content.update(part)
    return content.hexdigest()


def _samples(file: BinaryIO, size: int) -> Iterator[bytes]:
    if size <= SAMPLES * SAMPLE:
        yield file.read()
        return
    for number in range(SAMPLES):
        file.seek(number * (size - SAMPLE) // (SAMPLES - 1))
        yield file.read(SAMPLE)
