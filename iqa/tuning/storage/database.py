"""Studies in a database, with fewer questions to it than Optuna's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialHeartbeatModel, TrialIntermediateValueModel, TrialModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, event, func, insert, select

#: Seconds until what was reported is in the database, while epochs are shorter.
WRITE_EVERY = 5.0
#: Seconds between two signs of life of a worker.
HEARTBEAT = 20


class Database(RDBStorage):
    """Optuna asks a database four times and waits for it at every report, which costs short epochs more than anything
    else that a study adds to them, and all the more where the database is on another machine. Nobody needs a figure
    before its trial is judged: figures wait until then, or until the trial is read, `WRITE_EVERY` seconds at most.
    """

    def __init__(self, url: str, *, every: int = HEARTBEAT, **options: Any) -> None:
        # Braces are Optuna's own in a URL, and may be in a password. It is told of no heartbeat, so that it fails no
        # trial by the clock alone: `SignsOfLife` are given and missed by who runs and plans the trials.
        super().__init__(url.replace("{", "{{").replace("}", "}}"), **options)
        self.every = every
        self._reported: dict[int, dict[int, float]] = {}
        self._written = time.monotonic()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._reported.setdefault(trial_id, {})[step] = intermediate_value
        if time.monotonic() - self._written > WRITE_EVERY and not self._write(trial_id):
            raise optuna.exceptions.UpdateFinishedTrialError(f"others have ended the trial {trial_id}")

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self._write(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        self._write(trial_id)
        return super().get_trial(trial_id)

    def silence(self) -> dict[int, float]:
        """Seconds since the last heartbeat of each running trial that has one, by its id and the database's clock."""
        beat, now = TrialHeartbeatModel, func.now()
        with self.engine.begin() as connection:
            rows = connection.execute(
                select(beat.trial_id, beat.heartbeat, now)
                .join(TrialModel, TrialModel.trial_id == beat.trial_id)
                .where(TrialModel.state == TrialState.RUNNING)
            ).all()
        return {number: (now.replace(tzinfo=None) - last).total_seconds() for number, last, now in rows}

    def _write(self, trial_id: int) -> bool:
        """Write what waits of a trial; False if another worker has given the trial up since."""
        reported = self._reported.pop(trial_id, {})
        if not reported:
            return True
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
                return False
            connection.execute(delete(curve).where(curve.trial_id == trial_id, curve.step.in_(list(reported))))
            connection.execute(insert(curve), rows)
        return True


def for_several(storage: Database) -> Database:
    """Let several processes share the file of a SQLite database."""
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
