"""Signs of life of those who run trials."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import count

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from iqa.processes import Silence, beating
from iqa.tuning.storage.database import HEARTBEAT, Database

#: So many may be missed before a worker counts as dead.
MISSED = 3
#: The note at a trial in storages that keep no heartbeats: how many there were, and the seconds between two.
BEAT = "beat"


class SignsOfLife:
    """What tells of a worker that cannot be seen that it lives: a note at its trial that changes, every few seconds."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._silence = Silence()

    def given(self, trial: optuna.Trial) -> AbstractContextManager[None]:
        """Give them for as long as `trial` is run."""
        storage, number, numbers = self._storage, trial._trial_id, count()
        every = getattr(storage, "every", HEARTBEAT)
        if isinstance(storage, Database):
            return beating(lambda: storage.record_heartbeat(number), every)
        return beating(lambda: storage.set_trial_user_attr(number, BEAT, [next(numbers), every]), every)

    def missing(self, running: Sequence[FrozenTrial]) -> dict[int, bool]:
        """Whether they are overdue, by number, of those of the trials that ever had one."""
        if not running:
            return {}
        if isinstance(self._storage, Database):
            silence, allowed = self._storage.silence(), MISSED * self._storage.every
            known = {trial.number: silence.get(trial._trial_id) for trial in running}
            return {number: seconds > allowed for number, seconds in known.items() if seconds is not None}
        beats = {trial.number: trial.user_attrs[BEAT] for trial in running if BEAT in trial.user_attrs}
        return {number: self._silence.seconds(number, beat) > MISSED * beat[1] for number, beat in beats.items()}
