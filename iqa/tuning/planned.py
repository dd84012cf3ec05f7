"""Studies whose trials are all planned beforehand: workers take them, each once, until none is left."""

from __future__ import annotations

import copy
import json
import math
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
from iqa.tuning.storage import BEAT, NothingPlanned, SignsOfLife

#: A trial whose worker died is run again so many times at most.
RETRIES = 3
#: Seconds between two looks at what other workers do, for one that waits for them, and for one that has trials to run.
POLL, LOOK_EVERY = 1.0, 5.0
#: A trial has its worker's name within this time.
SETTLED = timedelta(seconds=5)
#: Seconds that the worker which made a study is given to plan it.
PLANNING = 30.0
IDENTITY, PLANNED, PROCESS, REASON, VOID = "identity", "planned", "process", "reason", "void"
#: What is said of one attempt at a trial and not of the next.
FLEETING = (PROCESS, REASON, BEAT)
#: Characters of a setting, and of a reason, in a message.
SETTING, WHY = 150, 500


class PlannedStudy:
    """A study that maximises, shared by name with any number of workers on one storage.

    A trial whose worker died, or was interrupted, is planned again; one that failed by itself is done. A worker is
    known to live by its process, where that can be seen, and elsewhere by its signs of life.

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
        self.name, self._signs = name, SignsOfLife(storage)
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
        """Whether another process of this machine, or one that gives signs of life, runs a trial now."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        missing = self._signs.missing(running)
        for trial in running:
            process, heard = trial.user_attrs.get(PROCESS, ""), missing.get(trial.number) is False
            if process not in ("", this_process()) and (heard or is_here(process)) and is_alive(process, heard=heard):
                return True
        return False

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
            got = "; ".join(
                f"{key}: {_short(theirs.get(key))} before, {_short(ours.get(key))} now" for key in changed[:4]
            )
        raise UserError(
            f"a study called '{self.name[:SETTING]}' exists, and it is another one",
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
        """Run a trial, if one waits to be run; returns whether one did.

        Not by Study.optimize, which fails by the clock what is alive, and itself at a trial that others have failed.
        """
        try:
            trial = self.study.ask()
        except NothingPlanned:
            return False
        value, state, stop = None, TrialState.FAIL, None
        with self._signs.given(trial):
            try:
                value, state = self._run(trial, run), TrialState.COMPLETE
            except optuna.TrialPruned:
                state = TrialState.PRUNED
            except KeyboardInterrupt as interrupt:
                stop = interrupt
            except (IqaError, optuna.exceptions.UpdateFinishedTrialError):
                pass
        ours = self._tell(trial, state, value)
        if stop is not None:
            if ours:
                self._again(self.study.get_trials(deepcopy=False)[trial.number], unlimited=True)
            raise stop
        self._ended_since += 1
        return True

    def _run(self, trial: optuna.Trial, run: Callable[[optuna.Trial], float]) -> float:
        # Whether a trial is beyond the budget depends on those before it alone, so an earlier look will do.
        trials = self._seen if trial.number < len(self._seen) else self._look()
        if _origin(trials[trial.number]) in _originals(trials)[self._budget :]:
            trial.set_user_attr(VOID, True)
            raise IqaError("planned beyond the budget")
        trial.set_user_attr(PROCESS, this_process())
        try:
            value = run(trial)
            if math.isnan(value):
                raise IqaError("its figure is not a number")
        except (optuna.TrialPruned, optuna.exceptions.UpdateFinishedTrialError):
            raise
        except Interrupted:
            raise KeyboardInterrupt from None
        except Exception as error:
            trial.set_user_attr(REASON, (str(error).strip() or type(error).__name__)[:WHY])
            raise error if isinstance(error, IqaError) else IqaError(str(error)) from error
        return value

    def _tell(self, trial: optuna.Trial | int, state: TrialState, value: float | None = None) -> bool:
        """End a trial; False where others have, and, if they took its worker for dead, have planned it again."""
        try:
            self.study.tell(trial, value, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            number = trial if isinstance(trial, int) else trial.number
            if not self.study.get_trials(deepcopy=False)[number].state.is_finished():
                raise
            return False
        return True

    def _recover(self) -> None:
        """Plan again what dead processes had in hand."""
        running = [trial for trial in self._look() if trial.state is TrialState.RUNNING]
        missing = self._signs.missing(running)
        dead = [trial for trial in running if _is_abandoned(trial, missing.get(trial.number))]
        for trial in dead:
            if self._tell(trial.number, TrialState.FAIL):
                self._again(trial)
        if dead:
            self._look()

    def _again(self, trial: FrozenTrial, *, unlimited: bool = False) -> None:
        fresh = copy.deepcopy(trial)
        fresh.user_attrs = {key: value for key, value in trial.user_attrs.items() if key not in FLEETING}
        RetryHeartbeatStaleTrialCallback(max_retry=None if unlimited else RETRIES)(self.study, fresh)


def await_plan(storage: BaseStorage, name: str) -> None:
    """Wait until the process that started this one has planned the study `name`; IqaError if it ends before."""
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


def _is_abandoned(trial: FrozenTrial, missing: bool | None) -> bool:
    """Whether its worker has died; `missing` tells whether its signs of life are, None if it never gave one."""
    process = trial.user_attrs.get(PROCESS, "")
    if not is_here(process):
        return missing is True
    # One just begun by an earlier version may still carry the name of the process that its last attempt died with.
    begun = trial.datetime_start is not None and datetime.now() - trial.datetime_start > SETTLED
    return begun and not is_alive(process, heard=missing is False)


def _originals(trials: Sequence[FrozenTrial]) -> list[int]:
    """Numbers of the trials that are no repeated attempts, ascending: the first of them are within the budget."""
    return [trial.number for trial in trials if not _history(trial)]


def _origin(trial: FrozenTrial) -> int:
    """The number of the first attempt."""
    return next(iter(_history(trial)), trial.number)


def _history(trial: FrozenTrial) -> list[int]:
    return RetryHeartbeatStaleTrialCallback.retry_history(trial)


def _short(setting: object) -> str:
    return repr(setting)[:SETTING]
