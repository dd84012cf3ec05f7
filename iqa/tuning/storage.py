"""Where studies are kept: SQLite for one worker, a database server, a proxy or a journal file for several."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import optuna
from optuna.storages import BaseStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import event

from iqa.errors import UserError
from iqa.tuning.database import Database

# Optuna calls heartbeats, retries and its drawings experimental, at every use.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

#: A trial whose worker died is run again so many times at most.
RETRIES = 3
#: Heartbeats that a worker may miss before it counts as dead.
MISSED = 3
CONNECT_SECONDS = 10
#: Workers that start together may trip over each other while one of them makes the tables.
ATTEMPTS = 3


class NothingPlanned(Exception):
    """Every planned trial is taken."""


def open_storage(url: str, heartbeat: int) -> BaseStorage:
    """The storage at `url`: sqlite:///, postgresql://, mysql://, grpc://host:port or journal:///file.

    Args:
        heartbeat: seconds between two signs of life of a worker, where the storage keeps them.

    Raises:
        UserError: it cannot be reached or is of no such kind.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in range(ATTEMPTS):
        try:
            storage = _open(url, heartbeat)
            storage.get_all_studies()
            return only_planned(storage)
        except Exception as error:
            if attempt + 1 == ATTEMPTS or isinstance(error, ImportError):
                raise _unusable(url, error) from error
            time.sleep(0.5)
    raise AssertionError("unreachable")


def only_planned(storage: BaseStorage) -> BaseStorage:
    """Let `storage` create the trials that are planned, with a template, and no others.

    Optuna makes up a new trial when none waits, so two workers that both see one waiting would run two: a budget
    could not be met exactly.
    """

    def with_template(create: Callable[..., Any]) -> Callable[..., Any]:
        def create_planned(study_id: int, template_trial: Any = None) -> Any:
            if template_trial is None:
                raise NothingPlanned
            return create(study_id, template_trial=template_trial)

        return create_planned

    # Optuna's cache in front of a database asks for the second.
    for name in ("create_new_trial", "_create_new_trial"):
        if hasattr(storage, name):
            setattr(storage, name, with_template(getattr(storage, name)))
    return storage


def public_url(url: str) -> str:
    """`url` without the password that it may carry."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.password else url


def _open(url: str, heartbeat: int) -> BaseStorage:
    parts = urlsplit(url)
    if parts.scheme == "journal":
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        path = Path(parts.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    if parts.scheme == "grpc":
        from optuna.storages import GrpcStorageProxy

        proxy = GrpcStorageProxy(host=parts.hostname or "localhost", port=parts.port or 13000)
        proxy.wait_server_ready(timeout=CONNECT_SECONDS)
        return proxy
    kind = parts.scheme.partition("+")[0]
    if kind not in ("sqlite", "postgresql", "mysql"):
        raise ValueError(f"no kind of storage is called '{parts.scheme}'")
    options: dict[str, Any] = {"connect_args": {"connect_timeout": CONNECT_SECONDS}}
    if kind == "sqlite":
        Path(parts.path[1:]).absolute().parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}
    storage = Database(
        url,
        engine_kwargs=options,
        heartbeat_interval=heartbeat,
        grace_period=MISSED * heartbeat,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
    )
    if kind == "sqlite":
        event.listen(storage.engine, "connect", _hasten)
        event.listen(storage.engine, "begin", _claim)
        storage.engine.dispose()
    return storage


def _hasten(connection: Any, _record: Any) -> None:
    """A write-ahead log: a file that a crash leaves whole, and no wait for the disk at every figure."""
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not at the first change
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _claim(connection: Any) -> None:
    """Transactions one after the other: two processes that read before either writes would take the same trial."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _unusable(url: str, error: Exception) -> UserError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    missing = isinstance(error, ImportError)
    return UserError(
        f"the study's storage {public_url(url)} cannot be used",
        got=f"{type(error).__name__}: {lines[0][:300]}",
        expected="sqlite:///FILE, postgresql://..., mysql://..., grpc://HOST:PORT or journal:///FILE",
        fix="pip install 'psycopg[binary]' for postgresql://, pymysql for mysql+pymysql://, grpcio for grpc://"
        if missing
        else "check that the server runs and that user, password and database are right",
    )
