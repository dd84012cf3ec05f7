"""A folder of prepared files that is either whole or absent, whoever builds it and however that ends."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from iqa.data.store.intact import KNOWN_BY, RECORD, UNUSABLE, describe, digest_of, note_whole, recorded, verify
from iqa.errors import UserError
from iqa.files import no_room, require_room

__all__ = [
    "KNOWN_BY",
    "cache_folder",
    "folders_in",
    "glimpse",
    "has_like",
    "open_or_build",
    "recipe_key",
    "reserve",
    "size_of",
    "sync",
    "verify",
]

#: What helps where the cache cannot be.
ELSEWHERE = "set data.cache_dir, or the environment variable IQA_CACHE, to a folder on another disk"
SMALLER = "a smaller data.picture_size takes less, and data.store stream keeps no pictures"

#: Ends the name of a folder that is begun and can be gone on with.
BEGUN = ".part"

log = logging.getLogger(__name__)


def cache_folder(cache_dir: str | None) -> Path:
    """`cache_dir`, else $IQA_CACHE, else ~/.cache/iqa.

    Raises:
        UserError: ~ is nobody's home.
    """
    place = Path(cache_dir or os.environ.get("IQA_CACHE") or "~/.cache/iqa")
    try:
        return place.expanduser()
    except RuntimeError as error:
        raise UserError(f"there is no place for prepared data: {place}", got=str(error), fix=ELSEWHERE) from error


def recipe_key(recipe: dict[str, Any]) -> str:
    """A short name that changes with anything in the recipe (JSON-able values)."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:20]


def open_or_build(
    root: Path,
    name: str,
    recipe: dict[str, Any],
    build: Callable[[Path], None],
    forecast: Callable[[], int],
    *,
    resumable: bool = False,
) -> tuple[Path, str]:
    """The folder `root/name`, built if it is absent or damaged, and the SHA-256 (hex) of its contents.

    `build` fills an empty folder beside it, which is synced and renamed in one step. Of several processes
    that want the same folder one builds it and the others wait for it.

    Args:
        forecast: bytes that it will take.
        resumable: what `build` has written when it is stopped stays, and the next call gives it the same folder.

    Raises:
        UserError: so much is not free; nothing was begun.
        IqaError: no room on the disk, or no right to write there; nothing half-written stays behind.
    """
    folder = root / name
    if (digest := verify(folder)) is not None:
        return folder, digest
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            # Another process may have finished it while this one waited.
            if (digest := verify(folder)) is not None:
                return folder, digest
            if folder.exists():
                log.warning("prepared data in %s is damaged and is built anew", folder)
                shutil.rmtree(folder)
            _remove_leftovers(root, name)
            begun = root / f".{name}{BEGUN}"
            there = size_of(begun) if begun.is_dir() else 0
            require_room(root, forecast() - there, "prepared data", f"free some, or {ELSEWHERE}; {SMALLER}")
            return folder, _build(root, name, recipe, build, begun if resumable else None)
    except OSError as error:
        raise no_room(folder, error, f"free space or change rights on {root}, or {ELSEWHERE}") from error


def glimpse(folder: Path) -> str | None:
    """What `verify` says, by the sizes of the files alone: good enough for a forecast."""
    try:
        files = recorded(folder)
        whole = all((folder / name).stat().st_size == about["bytes"] for name, about in files.items())
        return digest_of(files) if whole else None
    except UNUSABLE:
        return None


def folders_in(root: Path) -> list[Path]:
    """Every prepared folder of a cache, by name."""
    return sorted(file.parent for file in root.glob(f"[!.]*/{RECORD}"))


def size_of(folder: Path) -> int:
    """Bytes of the files in a prepared folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def has_like(root: Path, label: str, recipe: dict[str, Any]) -> bool:
    """Whether a folder `root/label-...` was built by a recipe that agrees with all that `recipe` says."""
    for file in root.glob(f"{label}-*/{RECORD}"):
        try:
            known = json.loads(file.read_text(encoding="utf-8"))["recipe"]
            if all(known.get(key) == value for key, value in recipe.items()) and glimpse(file.parent):
                return True
        except UNUSABLE:
            continue
    return False


def _build(root: Path, name: str, recipe: dict[str, Any], build: Callable[[Path], None], begun: Path | None) -> str:
    """`begun`: the folder to go on in, which stays if this is stopped."""
    if begun is None:
        temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}.", suffix=".tmp"))
    else:
        begun.mkdir(exist_ok=True)
        temporary = begun
    try:
        temporary.chmod(0o755)
        build(temporary)
        files = {path.name: describe(path) for path in sorted(temporary.iterdir())}
        record = json.dumps({"recipe": recipe, "files": files}, indent=2)
        (temporary / RECORD).write_text(record, encoding="utf-8")
        note_whole(temporary, files)
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        temporary.rename(root / name)
        sync(root)
    except BaseException:
        if begun is None or not any(begun.iterdir()):
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    return digest_of(files)


def _remove_leftovers(root: Path, name: str) -> None:
    """Delete temporary folders of processes that died: those whose lock is free, or is the one held here."""
    for leftover in root.glob(".*.tmp"):
        owner = leftover.name.split(".")[1]
        if owner == name:
            shutil.rmtree(leftover, ignore_errors=True)
            continue
        try:
            with FileLock(root / f".{owner}.lock", timeout=0):
                shutil.rmtree(leftover, ignore_errors=True)
        except Timeout:
            continue


def reserve(path: Path, size: int) -> None:
    """Make a file of `size` bytes whose room on the disk is certain: a memory map that runs out of it kills.

    Raises:
        OSError: no room.
    """
    try:
        with path.open("wb") as file:
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
