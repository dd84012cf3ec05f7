"""The search: trials that a sampler chooses, that report every epoch and are stopped when they fall behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from iqa.config import ExperimentConfig
from iqa.config.tuning import Choices
from iqa.errors import IqaError, first_line
from iqa.records import EpochRecord
from iqa.tuning import advice
from iqa.tuning.planned import PROCESS, REASON, PlannedStudy
from iqa.tuning.space import (
    Values,
    apply,
    contains,
    describe,
    is_whole,
    own_values,
    read_space,
    settings_apart_from,
)

__all__ = ["Bench", "Observer", "Search", "Training", "as_rows", "ending", "final_srcc"]


class Training(Protocol):
    """A training that can be watched, such as `iqa.training.loop.Trainer`."""

    history: list[EpochRecord]

    @property
    def best(self) -> EpochRecord | None: ...

    def epochs(self) -> Iterator[EpochRecord]: ...


def ending(error: BaseException) -> tuple[str, str]:
    """What to tell an observer of a trial that raised."""
    if isinstance(error, UpdateFinishedTrialError):
        return "interrupted", "others took this process for dead and run the trial again"
    return "failed" if isinstance(error, Exception) else "interrupted", str(error)


class Bench(Protocol):
    """What builds trainings, such as `iqa.tuning.workbench.Workbench`."""

    @property
    def training_pictures(self) -> int: ...

    def trainer(self, config: ExperimentConfig, split: int | None = None) -> Training: ...


class Observer(Protocol):
    """Who is told of trials as they go."""

    def begun(self, name: str, values: Values) -> None: ...

    def epoch(self, record: EpochRecord) -> None: ...

    def ended(self, state: str, reason: str | None = None) -> None:
        """`state` is complete, pruned, failed or interrupted."""
        ...


class Search:
    """A study of `config` over its space.

    Args:
        bench: builds the trainings.
        observer: is told of this worker's trials.
        name: of the study, shared by all its workers.

    Raises:
        UserError: a space that cannot be searched, or a study of this name with another.
    """

    def __init__(
        self, config: ExperimentConfig, bench: Bench, observer: Observer, storage: BaseStorage, name: str
    ) -> None:
        self.config, self.space = config, read_space(config)
        self._bench, self._observer = bench, observer
        tuning = config.tuning
        warmup = round(tuning.pruning_warmup * config.training.epochs)
        self.planned = PlannedStudy(
            storage,
            name,
            {"space": describe(self.space), **settings_apart_from(config, self.space)},
            sampler=optuna.samplers.TPESampler(seed=tuning.seed, n_startup_trials=tuning.startup_trials),
            pruner=optuna.pruners.MedianPruner(tuning.startup_trials, n_warmup_steps=warmup)
            if tuning.prune
            else optuna.pruners.NopPruner(),
        )

    def plan(self) -> None:
        """Plan the trials: the config itself and the guide's advice first, the rest by the sampler."""
        first = []
        own = own_values(self.config, self.space)
        if all(key in own and contains(part, own[key]) for key, part in self.space.items()):
            first.append(own)
        advised = {**own, **advice.as_values(self.config.model, self._bench.training_pictures, self.space)}
        if advised not in first and all(contains(self.space[key], value) for key, value in advised.items()):
            first.append(advised)
        self.planned.plan(self.config.tuning.trials, first)

    def work(self) -> None:
        """Run trials until the study's budget is met.

        Raises:
            IqaError: no trial was completed.
        """
        self.planned.work(self._run)
        if not self.completed():
            trials = self.planned.trials()
            pruned = sum(trial.state is TrialState.PRUNED for trial in trials)
            reasons = [str(trial.user_attrs[REASON]) for trial in trials if REASON in trial.user_attrs]
            raise IqaError(
                "no trial was completed, so there is nothing to recommend",
                got=f"{pruned} pruned, {len(trials) - pruned} failed"
                + (f", such as: {first_line(reasons[0])}" if reasons else ""),
                fix="narrow tuning.space, raise tuning.trials, or set tuning.prune to false; "
                "the study is kept under its name",
            )

    def completed(self) -> list[FrozenTrial]:
        """Completed trials, best first."""
        done = [trial for trial in self.planned.trials() if trial.state is TrialState.COMPLETE]
        return sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))

    def _run(self, trial: optuna.Trial) -> float:
        values = {key: self._suggest(trial, key) for key in self.space}
        self._observer.begun(f"trial {trial.number}", values)
        try:
            training = self._bench.trainer(apply(self.config, values))
            for record in training.epochs():
                self._observer.epoch(record)
                trial.report(-1.0 if record.val_srcc is None else record.val_srcc, record.epoch)
                if self.config.tuning.prune and trial.should_prune():
                    raise optuna.TrialPruned
            value = final_srcc(training)
        except optuna.TrialPruned:
            self._observer.ended("pruned")
            raise
        except (KeyboardInterrupt, Exception) as error:
            self._observer.ended(*ending(error))
            raise
        self._observer.ended("complete")
        return value

    def _suggest(self, trial: optuna.Trial, key: str) -> Any:
        part = self.space[key]
        if isinstance(part, Choices):
            return trial.suggest_categorical(key, part.choices)
        if is_whole(key, part, self.config):
            return trial.suggest_int(key, int(part.low), int(part.high), log=part.log)
        return trial.suggest_float(key, part.low, part.high, log=part.log)


def final_srcc(training: Training) -> float:
    """The rule that judges every training: validation SRCC of the epoch that it keeps.

    Raises:
        IqaError: no epoch has one.
    """
    best = training.best
    if best is None or best.val_srcc is None:
        raise IqaError("no epoch predicted scores that differ")
    return best.val_srcc


def as_rows(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """Trials as plain values: number, state, validation SRCC, parameters, curve, worker."""
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "val_srcc": trial.value if trial.state is TrialState.COMPLETE else None,
            "values": dict(trial.params),
            "curve": {int(epoch): value for epoch, value in sorted(trial.intermediate_values.items())},
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "reason": trial.user_attrs.get(REASON),
            "worker": trial.user_attrs.get(PROCESS),
        }
        for trial in trials
    ]
