"""Studies whose trials are all planned beforehand: workers take them, each once, until none is left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.storages import BaseStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from iqa.errors import Interrupted, IqaError, UserError
from iqa.processes import is_alive, is_here, this_process
from iqa.tuning.storage import RETRIES, NothingPlanned

#: Seconds between two looks at what other workers do, for one that waits for them, and for one that has trials to run.
POLL, LOOK_EVERY = 1.0, 5.0
#: A trial has its worker's name within this time.
SETTLED = timedelta(seconds=5)
#: Seconds that the worker which made a study is given to plan it.
PLANNING = 30.0
IDENTITY, PLANNED, PROCESS, REASON, VOID = "identity", "planned", "process", "reason", "void"


class PlannedStudy:
    """A study that maximises, shared by name with any number of workers on one storage.

    A trial whose worker died, or was interrupted, is planned again; one that failed by itself is done.

    Args:
        identity: what the study's figures depend on, as plain values; must be the same whenever it is opened.

    Raises:
        UserError: the storage has a study of this name that is another one.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        identity: Mapping[str, Any],
        *,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        self.name = name
        try:
            self.study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", sampler=sampler, pruner=pruner
            )
            self.study.set_user_attr(IDENTITY, json.dumps(identity, sort_keys=True))
            self.is_new = True
        except optuna.exceptions.DuplicatedStudyError:
            self.study = optuna.load_study(storage=storage, study_name=name, sampler=sampler, pruner=pruner)
            self.is_new = False
            self._check(identity)
        self._budget = 0
        self._current: int | None = None
        self._seen: list[FrozenTrial] = []
        self._looked, self._ended_since = float("-inf"), 0

    def attribute(self, name: str, wait: float = 0) -> Any:
        """What a worker noted for all under `name`, or None if nobody does within `wait` seconds."""
        end = time.monotonic() + wait
        while (found := self.study.user_attrs.get(name)) is None and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def note(self, name: str, value: Any) -> None:
        self.study.set_user_attr(name, value)

    def plan(
        self, budget: int, first: Sequence[Mapping[str, Any]] = (), notes: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Plan what lacks of `budget` trials.

        Args:
            first: parameters of the first trials; the sampler chooses those that are not given.
            notes: user attributes of each trial.
        """
        self._budget = budget
        if not self.is_new:
            self.attribute(PLANNED, wait=PLANNING)
        for number in range(len(_originals(self.study.get_trials(deepcopy=False))), budget):
            self.study.enqueue_trial(
                dict(first[number]) if number < len(first) else {},
                user_attrs=dict(notes[number]) if number < len(notes) else None,
            )
        if (self.study.user_attrs.get(PLANNED) or 0) < budget:
            self.note(PLANNED, budget)

    def work(self, run: Callable[[optuna.Trial], float]) -> None:
        """Take trials until all are done, by this worker or by others.

        Args:
            run: returns a trial's figure; raises optuna.TrialPruned to stop one, IqaError if it fails.

        Raises:
            KeyboardInterrupt: the trial in hand is planned again.
        """
        while True:
            if time.monotonic() - self._looked > LOOK_EVERY:
                self._recover()
            if self._take_one(run):
                continue
            self._recover()
            states = [trial.state for trial in self._counting()]
            if TrialState.WAITING in states:
                continue  # planned again since
            if TrialState.RUNNING not in states:
                return
            time.sleep(POLL)

    def trials(self) -> list[FrozenTrial]:
        """The trials that count: neither planned beyond the budget nor superseded by another attempt."""
        self._look()
        return self._counting()

    @property
    def finished(self) -> int:
        """How many of them were at an end when this worker last looked, and its own since."""
        return sum(trial.state.is_finished() for trial in self._counting()) + self._ended_since

    def others_at_work(self) -> bool:
        """Whether another process of this machine runs a trial now."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        processes = {trial.user_attrs.get(PROCESS, "") for trial in running} - {this_process(), ""}
        return any(is_here(process) and is_alive(process) for process in processes)

    def _check(self, identity: Mapping[str, Any]) -> None:
        found = self.attribute(IDENTITY, wait=PLANNING)
        theirs = json.loads(found) if found else None
        ours = json.loads(json.dumps(identity))
        right_way = self.study.direction is optuna.study.StudyDirection.MAXIMIZE
        if right_way and theirs == ours:
            return
        if not right_way:
            got = "it minimises"
        elif not isinstance(theirs, dict):
            got = "it is none of this project's"
        else:
            changed = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
            got = "; ".join(f"{key}: {theirs.get(key)!r} before, {ours.get(key)!r} now" for key in changed[:4])
        raise UserError(
            f"a study called '{self.name}' exists, and it is another one",
            got=got,
            fix="choose another name with --study, or go on with the settings that it was begun with",
        )

    def _look(self) -> list[FrozenTrial]:
        """All attempts as the storage has them; several milliseconds each time, which short trials feel."""
        self._seen = self.study.get_trials(deepcopy=False)
        self._looked, self._ended_since = time.monotonic(), 0
        return self._seen

    def _counting(self) -> list[FrozenTrial]:
        """Of the attempts that this worker saw last, those that count."""
        superseded = {number for trial in self._seen for number in _history(trial)}
        surplus = set(_originals(self._seen)[self._budget :])
        return [
            trial
            for trial in self._seen
            if trial.number not in superseded and VOID not in trial.user_attrs and _origin(trial) not in surplus
        ]

    def _take_one(self, run: Callable[[optuna.Trial], float]) -> bool:
        """Run a trial, if one waits to be run; returns whether one did."""
        self._current = None
        try:
            self.study.optimize(lambda trial: self._run(trial, run), n_trials=1, catch=(IqaError,))
        except NothingPlanned:
            return False
        except KeyboardInterrupt:
            if self._current is not None:
                self._again(self.study.get_trials(deepcopy=False)[self._current], unlimited=True)
            raise
        self._ended_since += 1
        return True

    def _run(self, trial: optuna.Trial, run: Callable[[optuna.Trial], float]) -> float:
        self._current = trial.number
        # Whether a trial is beyond the budget depends on those before it alone, so an earlier look will do.
        trials = self._seen if trial.number < len(self._seen) else self._look()
        if _origin(trials[trial.number]) in _originals(trials)[self._budget :]:
            trial.set_user_attr(VOID, True)
            raise IqaError("planned beyond the budget")
        trial.set_user_attr(PROCESS, this_process())
        try:
            value = run(trial)
        except optuna.TrialPruned:
            raise
        except Interrupted:
            raise KeyboardInterrupt from None
        except Exception as error:
            trial.set_user_attr(REASON, (str(error).strip() or type(error).__name__)[:500])
            raise error if isinstance(error, IqaError) else IqaError(str(error)) from error
        self._current = None
        return value

    def _recover(self) -> None:
        """Plan again what dead processes of this machine had in hand; heartbeats do it for other machines."""
        dead = [trial for trial in self._look() if trial.state is TrialState.RUNNING and _is_abandoned(trial)]
        for trial in dead:
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                continue  # another worker was quicker
            self._again(trial)
        if dead:
            self._look()

    def _again(self, trial: FrozenTrial, *, unlimited: bool = False) -> None:
        RetryHeartbeatStaleTrialCallback(max_retry=None if unlimited else RETRIES)(self.study, trial)


def await_plan(storage: BaseStorage, name: str) -> None:
    """Wait until the process that started this one has planned the study `name`.

    Raises:
        IqaError: that process ended before it had.
    """
    parent = os.getppid()
    while not _planned(storage, name):
        if os.getppid() != parent:
            raise IqaError("the command that this process was to help has ended")
        time.sleep(0.1)


def _planned(storage: BaseStorage, name: str) -> bool:
    try:
        return PLANNED in optuna.load_study(storage=storage, study_name=name).user_attrs
    except KeyError:
        return False


def _is_abandoned(trial: FrozenTrial) -> bool:
    """Whether the process that runs it has died on this machine."""
    process = trial.user_attrs.get(PROCESS, "")
    # One just begun may still carry the name of the process that an earlier attempt died with.
    begun = trial.datetime_start is not None and datetime.now() - trial.datetime_start > SETTLED
    return bool(process) and begun and not is_alive(process)


def _originals(trials: Sequence[FrozenTrial]) -> list[int]:
    """Numbers of the trials that are no repeated attempts, ascending: the first of them are within the budget."""
    return [trial.number for trial in trials if not _history(trial)]


def _origin(trial: FrozenTrial) -> int:
    """The number of the first attempt."""
    return next(iter(_history(trial)), trial.number)


def _history(trial: FrozenTrial) -> list[int]:
    return RetryHeartbeatStaleTrialCallback.retry_history(trial)
