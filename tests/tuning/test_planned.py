"""A budget is met exactly: whatever is interrupted, killed, run again, or shared."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from iqa.errors import IqaError, UserError
from iqa.tuning import planned as planned_module
from iqa.tuning.planned import PlannedStudy
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
    trial = study.study.ask()
    trial.set_user_attr("process", planned_module.this_process().rsplit(":", 1)[0] + ":1")
    study.work(x)
    assert states(study) == {"COMPLETE": 3}
    assert study.study.trials[trial.number].state is TrialState.FAIL


def test_another_process_at_work_is_noticed_and_a_dead_one_is_not(tmp_path: Path) -> None:
    import os

    import psutil

    study = open_study(tmp_path)
    study.plan(2)
    host = planned_module.this_process().partition(":")[0]
    study.study.ask().set_user_attr("process", f"{host}:{os.getppid()}:1")
    assert not study.others_at_work()
    alive = f"{host}:{os.getppid()}:{psutil.Process(os.getppid()).create_time():.0f}"
    study.study.ask().set_user_attr("process", alive)
    assert study.others_at_work()


@pytest.mark.parametrize("url", ["journal://{}/journal.log", "sqlite:///{}/optuna.db"])
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
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db", 20)
    optuna.create_study(storage=storage, study_name="down", direction="minimize")
    monkeypatch.setattr(planned_module, "PLANNING", 0.1)
    with pytest.raises(UserError, match="it minimises"):
        open_study(tmp_path, "down")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("oracle://host/db", "no kind of storage"),
        ("sqlite:////proc/none/optuna.db", "cannot be used"),
        ("postgresql://user:secret@127.0.0.1:1/none", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_message(url: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        open_storage(url, 20)
    assert "secret" not in str(error.value)
