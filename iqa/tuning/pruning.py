"""When a trial is given up: when its best epoch is worse than the median of the others at the same epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from optuna import Study
from optuna.pruners import MedianPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class _Seen:
    """What the rule asks of a study."""

    direction: StudyDirection
    completed: list[FrozenTrial]

    def get_trials(self, **_: Any) -> list[FrozenTrial]:
        return self.completed


class OnceATrial(MedianPruner):
    """Optuna's median rule over the trials that were completed when a trial came out of its warm-up.

    The rule itself reads the whole study from the storage at every epoch, which costs short trials more than anything
    else that a study adds to them.

    Args:
        startup_trials: completed trials before the first is given up.
        warmup_epochs: epochs that every trial is given.
    """

    def __init__(self, startup_trials: int, warmup_epochs: int) -> None:
        super().__init__(startup_trials, n_warmup_steps=warmup_epochs)
        self._warmup_epochs = warmup_epochs
        self._judged: int | None = None
        self._seen: _Seen | None = None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if trial.last_step is None or trial.last_step < self._warmup_epochs:
            return False
        if self._seen is None or trial.number != self._judged:
            completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            self._judged, self._seen = trial.number, _Seen(study.direction, completed)
        return super().prune(cast(Study, self._seen), trial)
