"""Optuna's database storage, with what trials report of their epochs written some epochs at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, insert, select

#: Seconds until what was reported is in the database, while epochs are shorter.
WRITE_EVERY = 5.0


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
