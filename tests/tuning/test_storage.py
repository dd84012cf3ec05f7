"""What trials report reaches the database some epochs at a time, and whole."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from iqa.tuning.storage import Database
from iqa.tuning.storage import database as storage_module

CURVE = {1: 0.1, 2: math.nan, 3: math.inf, 4: -math.inf, 5: 0.5}


def open_study(path: Path) -> optuna.Study:
    storage = Database(f"sqlite:///{path}/optuna.db")
    return optuna.create_study(storage=storage, study_name="s", direction="maximize", load_if_exists=True)


def as_others_see(path: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(storage=RDBStorage(f"sqlite:///{path}/optuna.db"), study_name="s").trials


def report(trial: optuna.Trial, curve: dict[int, float]) -> None:
    for epoch, value in curve.items():
        trial.report(value, epoch)


def test_a_finished_trial_has_its_whole_curve(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    trial = study.ask()
    report(trial, CURVE)
    assert not as_others_see(tmp_path)[0].intermediate_values, "nobody needs them yet"
    study.tell(trial, 0.5)
    seen = as_others_see(tmp_path)[0].intermediate_values
    assert repr(seen) == repr(CURVE)
    assert repr(study.trials[0].intermediate_values) == repr(CURVE)


def test_a_pruned_trial_is_worth_what_it_reported_last(tmp_path: Path) -> None:
    study = open_study(tmp_path)

    def given_up(trial: optuna.Trial) -> float:
        report(trial, {1: 0.1, 2: 0.3})
        raise optuna.TrialPruned

    study.optimize(given_up, n_trials=1)
    (trial,) = as_others_see(tmp_path)
    assert trial.state is TrialState.PRUNED
    assert trial.value == 0.3


def test_figures_of_long_epochs_are_there_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "WRITE_EVERY", -1.0)
    study = open_study(tmp_path)
    trial = study.ask()
    for epoch in (1, 2):
        trial.report(epoch / 10, epoch)
        assert as_others_see(tmp_path)[0].intermediate_values[epoch] == epoch / 10


def test_two_trials_of_one_process_do_not_mix(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    trials = [study.ask(), study.ask()]
    for trial in trials:
        report(trial, {1: trial.number, 2: trial.number + 0.5})
    for trial in reversed(trials):
        study.tell(trial, 1.0)
    assert [t.intermediate_values for t in as_others_see(tmp_path)] == [{1: 0.0, 2: 0.5}, {1: 1.0, 2: 1.5}]


def test_a_trial_that_another_worker_gave_up_stays_as_it_was_left(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    trial = study.ask()
    report(trial, {1: 0.4})
    optuna.load_study(storage=RDBStorage(f"sqlite:///{tmp_path}/optuna.db"), study_name="s").tell(
        trial.number, state=TrialState.FAIL
    )
    with pytest.raises((ValueError, optuna.exceptions.UpdateFinishedTrialError)):
        study.tell(trial, 0.4)
    (left,) = as_others_see(tmp_path)
    assert left.state is TrialState.FAIL
    assert not left.intermediate_values
