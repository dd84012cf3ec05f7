"""A worker by itself gives up the trials that Optuna's own median rule gives up, and asks the storage once a trial."""

from __future__ import annotations

import random
from collections import Counter

import optuna
import pytest
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import TrialState

from iqa.tuning.pruning import OnceATrial

TRIALS, EPOCHS, STARTUP, WARMUP = 40, 12, 5, 4


def fates(pruner: BasePruner) -> list[tuple[TrialState, int]]:
    """How each of the same trials ended, and after which epoch."""
    luck = random.Random(3)
    curves = [[luck.gauss(0, 1) + epoch for epoch in range(EPOCHS)] for _ in range(TRIALS)]

    def run(trial: optuna.Trial) -> float:
        for epoch, value in enumerate(curves[trial.number], start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return max(curves[trial.number])

    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(run, n_trials=TRIALS)
    return [(trial.state, trial.last_step or 0) for trial in study.get_trials()]


def test_the_rule_is_optunas() -> None:
    ours = fates(OnceATrial(STARTUP, WARMUP))
    assert ours == fates(MedianPruner(STARTUP, n_warmup_steps=WARMUP))
    ended = Counter(state for state, _ in ours)
    assert min(ended[TrialState.PRUNED], ended[TrialState.COMPLETE]) > 5
    assert min(epoch for state, epoch in ours if state is TrialState.PRUNED) == WARMUP


def test_a_trial_reads_the_study_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Counter[str]()
    read = optuna.Study.get_trials

    def counted(study: optuna.Study, *args: object, **kwargs: object) -> object:
        reads["all"] += 1
        return read(study, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(optuna.Study, "get_trials", counted)
    fates(OnceATrial(STARTUP, WARMUP))
    assert reads["all"] == TRIALS + 1  # the last for the fates
