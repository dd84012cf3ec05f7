"""MLflow's database file, made beside its place and moved in when it is whole.

MLflow makes its tables one after the other in the file itself. Two processes that do so at once break it for both, and
one that is stopped on the way leaves a file that no later one can use.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

log = logging.getLogger(__name__)

#: Seconds without a write after which nobody is making a file any more, and between two looks.
QUIET, LOOK = 6.0, 0.2
#: Seconds that a file is waited for which another process writes to.
LOCKED = 30.0


def make_database(uri: str) -> None:
    """Make the SQLite file of a tracking URI, if there is none; others that want the same wait for it.

    A file that was left half-made is kept under another name, and a new one is made. Of other URIs nothing is done.

    Raises:
        OSError: no right or no room to write there.
    """
    file = database_file(uri)
    if file is None or is_whole(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        if is_whole(file) or _becomes_whole(file):
            return
        if file.exists() and file.stat().st_size:
            others = (file.with_name(f"{file.name}.broken{number}") for number in count(1))
            kept = next(other for other in others if not other.exists())
            file.rename(kept)
            log.warning("%s was left half-made by a process that was stopped; it is kept as %s", file, kept.name)
        made = file.with_name(f".{file.name}.new")
        _remove(made)
        try:
            _make(made)
            made.replace(file)
        finally:
            _remove(made)


def database_file(uri: str) -> Path | None:
    """The file of a SQLite URI; None for another, or one in memory."""
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] != "sqlite" or not parts.path.strip("/") or ":memory:" in uri:
        return None
    return Path(unquote(parts.path[1:]))


def is_whole(file: Path) -> bool:
    """Whether all of MLflow's tables are there: its last step is to note their version, and an experiment."""
    if not file.is_file() or not file.stat().st_size:
        return False
    try:
        # Not "ro": what a kill left of a transaction is undone by the next one who may write, and no other can read.
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCKED)) as base:
            version = base.execute("SELECT version_num FROM alembic_version").fetchone()
            return version is not None and base.execute("SELECT 1 FROM experiments").fetchone() is not None
    except sqlite3.OperationalError as error:
        return "no such table" not in str(error)  # but locked by one who uses it, or on a disk that fails
    except sqlite3.DatabaseError:
        return True  # another kind of file: who opens it says so


def _becomes_whole(file: Path) -> bool:
    """Whether a file is being made by a program that knows nothing of our lock, and is then whole."""
    while file.is_file() and time.time() - file.stat().st_mtime < QUIET:
        if is_whole(file):
            return True
        time.sleep(LOOK)
    return is_whole(file)


def _make(file: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
    with closing(sqlite3.connect(file)) as base:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink(missing_ok=True)
