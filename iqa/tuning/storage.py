"""Where studies are kept: SQLite for one worker, a database server, a proxy or a journal file for several."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import optuna
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, event, insert, select

from iqa.errors import UserError

#: A trial whose worker died is run again so many times at most.
RETRIES = 3
#: Heartbeats that a worker may miss before it counts as dead.
MISSED = 3
CONNECT_SECONDS = 10
#: Seconds until what was reported is in the database, while epochs are shorter.
WRITE_EVERY = 5.0
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
    """The storage at `url`: sqlite:///, postgresql://, mysql://, grpc://host:port or journal:///file.

    Args:
        heartbeat: seconds between two signs of life of a worker, where the storage keeps them.

    Raises:
        UserError: it cannot be reached or is of no such kind.
    """
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


class Database(RDBStorage):
    """Optuna asks a database four times and waits for it at every report, which costs short epochs more than anything
    else that a study adds to them, and all the more where the database is on another machine. Nobody needs a figure
    before its trial is judged: figures wait until then, or until the trial is read, `WRITE_EVERY` seconds at most.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reported: dict[int, dict[int, float]] = {}
        self._written = time.monotonic()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._reported.setdefault(trial_id, {})[step] = intermediate_value
        if time.monotonic() - self._written > WRITE_EVERY:
            self._write(trial_id)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self._write(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        self._write(trial_id)
        return super().get_trial(trial_id)

    def _write(self, trial_id: int) -> None:
        """Write what waits of a trial, unless another worker has given the trial up since."""
        reported = self._reported.pop(trial_id, {})
        if not reported:
            return
        self._written = time.monotonic()
        curve = TrialIntermediateValueModel
        rows = []
        for step, value in reported.items():
            stored, kind = curve.intermediate_value_to_stored_repr(value)
            rows.append(
                {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}
            )
        with self.engine.begin() as connection:
            state = connection.scalar(select(TrialModel.state).where(TrialModel.trial_id == trial_id))
            if state is None or state.is_finished():
                return
            connection.execute(delete(curve).where(curve.trial_id == trial_id, curve.step.in_(list(reported))))
            connection.execute(insert(curve), rows)


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
        fix="pip install 'psycopg[binary]' for postgresql://, PyMySQL for mysql+pymysql://, grpcio for grpc://"
        if missing
        else "check that the server runs and that user, password and database are right",
    )
