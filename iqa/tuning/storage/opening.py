"""Opening the place where studies are kept."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages import BaseStorage

from iqa.errors import UserError
from iqa.tuning.storage.addresses import kind_of, unusable
from iqa.tuning.storage.checks import SQLITE_SECONDS, check_database, check_sqlite, journal_file, proxy_server
from iqa.tuning.storage.database import Database, for_several

CONNECT_SECONDS = 10
#: Workers that start together may trip over each other while one of them makes the tables.
ATTEMPTS = 3


class NothingPlanned(Exception):
    """Every planned trial is taken."""


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Optuna's own news off the terminal: it tells of every trial, and that heartbeats are experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_storage(url: str, heartbeat: int) -> BaseStorage:
    """The storage at `url`: sqlite:///FILE, postgresql://, mysql://, grpc://HOST:PORT or journal:///FILE.

    Args:
        heartbeat: seconds between two signs of life of a worker.

    Raises:
        UserError: it cannot be reached, is of no such kind, or holds something else; nothing was changed.
    """
    for attempt in range(ATTEMPTS):
        try:
            storage = OPENERS[kind_of(url)](url, heartbeat)
            storage.get_all_studies()
            return only_planned(storage)
        except UserError:
            raise
        except Exception as error:
            if attempt + 1 == ATTEMPTS:
                raise unusable(url, error) from error
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


def _open_journal(url: str, heartbeat: int) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = journal_file(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(path)))
    storage.every = heartbeat  # type: ignore[attr-defined]
    return storage


def _open_proxy(url: str, heartbeat: int) -> BaseStorage:
    from optuna.storages import GrpcStorageProxy

    host, port = proxy_server(url)
    storage = GrpcStorageProxy(host=host, port=port)
    storage.wait_server_ready(timeout=CONNECT_SECONDS)
    storage.every = heartbeat  # type: ignore[attr-defined]
    return storage


def _open_database(url: str, heartbeat: int) -> BaseStorage:
    options = check_database(url, CONNECT_SECONDS)
    return Database(url, engine_kwargs=options, every=heartbeat)


def _open_sqlite(url: str, heartbeat: int) -> BaseStorage:
    file = check_sqlite(url)
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    storage = Database(url, engine_kwargs={"connect_args": {"timeout": SQLITE_SECONDS}}, every=heartbeat)
    return for_several(storage)


#: How each kind of storage is opened.
OPENERS: dict[str, Callable[[str, int], BaseStorage]] = {
    "sqlite": _open_sqlite,
    "postgresql": _open_database,
    "mysql": _open_database,
    "grpc": _open_proxy,
    "journal": _open_journal,
}
