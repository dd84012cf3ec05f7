"""A budget is met exactly: whatever is interrupted, killed, run again, or shared."""

from __future__ import annotations

import math
import multiprocessing
import re
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from iqa.errors import Interrupted, IqaError, UserError
from iqa.tuning import planned as planned_module
from iqa.tuning.planned import PlannedStudy
from iqa.tuning.storage import database as storage_module
from iqa.tuning.storage import open_storage

IDENTITY = {"space": {"x": {"low": 0, "high": 1}}}


def open_study(path: Path, name: str = "s", identity: dict | None = None) -> PlannedStudy:
    return PlannedStudy(open_storage(f"sqlite:///{path}/optuna.db", 20), name, identity or IDENTITY)


def x(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def states(study: PlannedStudy) -> Counter[str]:
    return Counter(trial.state.name for trial in study.trials())


def test_a_budget_is_a_total_however_often_the_command_is_given(tmp_path: Path) -> None:
    for _ in range(3):
        study = open_study(tmp_path)
        study.plan(5)
        study.work(x)
        assert states(study) == {"COMPLETE": 5}
    study.plan(8)
    study.work(x)
    assert states(study) == {"COMPLETE": 8}


def test_a_worker_knows_how_many_are_done_its_own_at_once_and_those_of_others_at_its_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, other = open_study(tmp_path), open_study(tmp_path)
    known = []
    for each in (study, other):
        each.plan(7)

    def watched(trial: optuna.Trial) -> float:
        if trial.number == 2:
            other.study.optimize(x, n_trials=2)
        if trial.number == 5:
            monkeypatch.setattr(planned_module, "LOOK_EVERY", 0.0)
        known.append((trial.number, study.finished))
        return x(trial)

    study.work(watched)
    assert known == [(0, 0), (1, 1), (2, 2), (5, 3), (6, 6)]


def test_the_first_trials_are_the_ones_given(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.plan(3, [{"x": 0.25}, {"x": 0.5}])
    study.work(x)
    assert [trial.params["x"] for trial in study.trials()][:2] == [0.25, 0.5]


def test_an_interrupted_trial_is_run_again(tmp_path: Path) -> None:
    def interrupted(trial: optuna.Trial) -> float:
        value = x(trial)
        if trial.number == 2:
            raise KeyboardInterrupt
        return value

    study = open_study(tmp_path)
    study.plan(5)
    with pytest.raises(KeyboardInterrupt):
        study.work(interrupted)
    assert states(study) == {"COMPLETE": 2, "WAITING": 3}
    study = open_study(tmp_path)
    study.plan(5)
    study.work(x)
    assert states(study) == {"COMPLETE": 5}
    values = [trial.params["x"] for trial in study.study.trials]
    assert values[2] in values[5:], "the same settings, not others"


def test_a_trial_that_fails_is_counted_with_its_reason_and_the_study_goes_on(tmp_path: Path) -> None:
    def failing(trial: optuna.Trial) -> float:
        if trial.number == 1:
            raise IqaError("out of memory", fix="lower data.batch_size")
        if trial.number == 2:
            raise RuntimeError("a bug")
        return x(trial)

    study = open_study(tmp_path)
    study.plan(4)
    study.work(failing)
    assert states(study) == {"COMPLETE": 2, "FAIL": 2}
    reasons = [trial.user_attrs.get("reason") for trial in study.trials()]
    assert reasons[1].startswith("out of memory")
    assert reasons[2] == "a bug"


def test_what_a_dead_process_had_in_hand_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_module, "SETTLED", planned_module.timedelta(0))
    study = open_study(tmp_path)
    study.plan(3)
    trials = [study.study.ask(), study.study.ask()]
    trials[0].set_user_attr("process", re.sub(r":\d+:\d+:", ":4194399:1:", planned_module.this_process()))
    trials[1].set_user_attr("process", f"{socket.gethostname()}:4194399:1")
    study.work(x)
    assert states(study) == {"COMPLETE": 3}
    for trial in trials:
        assert study.study.trials[trial.number].state is TrialState.FAIL


@pytest.mark.parametrize("url", ["journal:///study.log", "sqlite:///optuna.db"])
def test_what_a_living_process_has_in_hand_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Another container with this host's name, a clock that was set, a worker whose signs come late."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planned_module, "SETTLED", planned_module.timedelta(0))
    study = PlannedStudy(open_storage(url, 20), "s", IDENTITY)
    study.plan(4)
    trials = [study.study.ask() for _ in range(3)]
    namespace = re.sub(r"/\d+:\d+:", "/4026539999:4194399:", planned_module.this_process())
    names = (namespace, f"{socket.gethostname()}:4194399:1", planned_module.this_process())
    with ExitStack() as lives:
        for trial, name in zip(trials, names, strict=True):
            trial.set_user_attr("process", name)
            lives.enter_context(study._signs.given(trial))
        time.sleep(0.3)  # the first signs are on their way
        study._take_one(x)
        study._recover()
        assert states(study) == {"RUNNING": 3, "COMPLETE": 1}
        assert study.others_at_work()
    for trial in trials:
        study.study.tell(trial, 0.5)
    study.work(x)
    assert states(study) == {"COMPLETE": 4}
    assert len(study.study.trials) == 4


@pytest.mark.parametrize("url", ["journal:///study.log", "sqlite:///optuna.db"])
def test_a_worker_elsewhere_that_gives_no_more_signs_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    study = PlannedStudy(open_storage(url, 1), "s", IDENTITY)
    study.plan(2)
    trial = study.study.ask()
    trial.set_user_attr("process", "elsewhere/4026531836:17:4711:0123456789ab:c0ffee00")
    with study._signs.given(trial):
        time.sleep(0.3)
    study._recover()
    assert study.study.trials[trial.number].state is TrialState.RUNNING
    study.work(x)
    assert states(study) == {"COMPLETE": 2}
    assert study.study.trials[trial.number].state is TrialState.FAIL
    again = study.study.trials[-1]
    assert again.system_attrs["retry_history"] == [trial.number]
    assert again.user_attrs["process"] == planned_module.this_process()


def fail_behind_its_back(study: PlannedStudy, trial: optuna.Trial) -> None:
    """Do as a worker does that takes this one for dead."""
    others = optuna.load_study(storage=open_storage(str(study._signs._storage.url), 20), study_name="s")
    others.tell(trial.number, state=TrialState.FAIL)
    RetryHeartbeatStaleTrialCallback(max_retry=3)(others, others.trials[trial.number])


@pytest.mark.parametrize("end", ["figure", "pruned", "failed", "report", "bug"])
def test_a_worker_whose_trial_was_failed_by_others_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(storage_module, "WRITE_EVERY", -1.0)
    study = open_study(tmp_path)
    study.plan(3)

    def given_up(trial: optuna.Trial) -> float:
        value = x(trial)
        if trial.number != 1:
            return value
        fail_behind_its_back(study, trial)
        if end == "pruned":
            raise optuna.TrialPruned
        if end == "failed":
            raise IqaError("out of memory")
        if end == "bug":
            raise RuntimeError("a bug")
        if end == "report":
            trial.report(0.5, 1)
            raise AssertionError("nobody waits for the rest of it")
        return value

    study.work(given_up)
    assert states(study) == {"COMPLETE": 3}
    left = study.study.trials[1]
    assert (left.state, left.value) == (TrialState.FAIL, None)
    assert study.study.trials[3].params == left.params


def test_an_interrupt_in_a_trial_that_others_have_failed_is_an_interrupt_and_plans_it_no_second_time(
    tmp_path: Path,
) -> None:
    study = open_study(tmp_path)
    study.plan(2)

    def interrupted(trial: optuna.Trial) -> float:
        fail_behind_its_back(study, trial)
        raise Interrupted("stopped by SIGTERM")

    with pytest.raises(KeyboardInterrupt):
        study.work(interrupted)
    assert states(study) == {"WAITING": 2}
    assert len(study.study.trials) == 3


def test_a_figure_that_is_no_number_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.plan(2)
    study.work(lambda trial: x(trial) if trial.number else math.nan)
    assert states(study) == {"COMPLETE": 1, "FAIL": 1}
    assert "not a number" in study.trials()[0].user_attrs["reason"]


def test_another_process_at_work_is_noticed_and_a_dead_one_is_not(tmp_path: Path) -> None:
    import os

    import psutil

    study = open_study(tmp_path)
    study.plan(2)
    host = socket.gethostname()
    study.study.ask().set_user_attr("process", f"{host}:{os.getppid()}:1")
    assert not study.others_at_work()
    alive = f"{host}:{os.getppid()}:{psutil.Process(os.getppid()).create_time():.0f}"
    study.study.ask().set_user_attr("process", alive)
    assert study.others_at_work()


@pytest.mark.parametrize("url", ["journal:///{}/journal.log", "sqlite:///{}/optuna.db"])
def test_workers_side_by_side_share_one_budget(tmp_path: Path, url: str) -> None:
    url = url.format(tmp_path)
    PlannedStudy(open_storage(url, 20), "s", IDENTITY).plan(12)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(url, 12)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    study = PlannedStudy(open_storage(url, 20), "s", IDENTITY)
    study.plan(12)
    assert states(study) == {"COMPLETE": 12}
    assert len(study.study.trials) == 12


def _work(url: str, budget: int) -> None:
    study = PlannedStudy(open_storage(url, 20), "s", IDENTITY)
    study.plan(budget)
    study.work(x)


def test_trials_planned_twice_by_accident_are_not_run(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.plan(3)
    study.study.enqueue_trial({})
    ran: list[int] = []

    def remembered(trial: optuna.Trial) -> float:
        ran.append(trial.number)
        return x(trial)

    study.work(remembered)
    assert len(ran) == 3
    assert states(study) == {"COMPLETE": 3}


def test_another_study_of_the_same_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_study(tmp_path).plan(2)
    with pytest.raises(UserError, match="another one") as error:
        open_study(tmp_path, identity={"space": {"x": {"low": 0, "high": 2}}})
    assert "space" in str(error.value)
    with pytest.raises(UserError) as error:
        open_study(tmp_path, identity={"space": {str(number): "x" * 5000 for number in range(50)}})
    assert len(str(error.value).encode()) < 2000
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db", 20)
    optuna.create_study(storage=storage, study_name="down", direction="minimize")
    monkeypatch.setattr(planned_module, "PLANNING", 0.1)
    with pytest.raises(UserError, match="it minimises"):
        open_study(tmp_path, "down")
