"""Files that are either whole or absent: written beside their place, then swapped in."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from iqa.errors import IqaError, UserError, first_line

#: What content that is not as it was written raises where it is taken apart; a RecursionError is a RuntimeError.
MISSHAPEN = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then replace `path` by it in one step.

    A crash, a kill or a full disk at any instant leaves the old file as it was.

    Raises:
        IqaError: no room, or no right to write there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise no_room(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if full := _disk_failure(error):
            raise no_room(path, full) from error
        raise


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process has left in `folder` of files that it was writing; no other may be writing there."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def no_room(path: Path, error: OSError, fix: str | None = None) -> IqaError:
    """The message for a disk that refuses: full, over quota, read-only or closed to this user."""
    return IqaError(
        f"cannot write {path}",
        got=error.strerror or str(error),
        expected="a writable place with free space",
        fix=fix or f"free space or change rights on {path.parent}; what was there before is untouched",
    )


def require_room(folder: Path, size: int, what: str, fix: str) -> None:
    """Refuse work whose files cannot fit on the disk of `folder`, which need not exist yet, before it is begun.

    Args:
        size: bytes that it will write there.
        what: it is that will be written, for the message.

    Raises:
        UserError: less is free.
    """
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # a place that tells nothing; the writing will show
        return
    if size > free:
        raise UserError(
            f"not enough room for {what} in {folder}",
            got=f"{in_bytes(free)} free",
            expected=f"{in_bytes(size)}",
            fix=fix,
        )


def in_bytes(size: int) -> str:
    """A number of bytes as people say it: 9.4 GB."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, (len(str(size)) - 1) // 3)
    return f"{round(size / 1000**power, 1):g} {units[power]}"


def roughly(size: int) -> str:
    """A number of bytes with the two digits that count: 9.4 GB, 120 MB."""
    return in_bytes(int(float(f"{size:.2g}")))


def keep_aside(path: Path) -> Path:
    """Rename a file or folder to `<name>.1<suffix>`, `.2`, ..., the first that is free; returns its new place.

    Raises:
        IqaError: no right to do so.
    """
    stem, suffix = (path.name, "") if path.is_dir() else (path.stem, path.suffix)
    number = 1
    while (aside := path.with_name(f"{stem}.{number}{suffix}")).exists():
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise no_room(path, error) from error
    return aside


def split_folder(whole: Path, number: int) -> Path:
    """Where split `number` of the repeated experiment in `whole` is."""
    return whole / f"split{number}"


def experiment_label(folder: Path) -> str:
    """What the experiment in `folder` is called: the folder's name, for a split after that of what it is a split of."""
    folder = folder.resolve()
    return f"{folder.parent.name}-{folder.name}" if re.fullmatch(r"split\d+", folder.name) else folder.name


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8, whole or not at all."""
    atomic_write(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused because JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for, and a device has no end
            raise UserError(f"{path} is no file", expected="a JSON file")
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON", got=first_line(error)) from error


def refuse_packed(path: Path) -> None:
    """Refuse an archive whose files are together larger than itself: torch never packs, and what is packed can unpack
    to any size.

    Raises:
        ValueError, zipfile.BadZipFile: it is one, or damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"an archive of {in_bytes(path.stat().st_size)} that unpacks to {in_bytes(size)}")


@contextmanager
def content_of(path: Path, expected: str, fix: str | None = None) -> Iterator[None]:
    """Around where a file's content is taken apart: whatever damage comes to, it is said of the file.

    Raises:
        UserError: the block met content of another shape.
    """
    try:
        yield
    except MISSHAPEN as error:
        got = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(
            f"{path} is damaged, or was not written by this project", got=got, expected=expected, fix=fix
        ) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _disk_failure(error: BaseException | None) -> OSError | None:
    """The refusal of the disk behind `error`; torch lets a failed write end in a RuntimeError of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
