"""`--processes N` starts them, and ends as the one that failed did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from mlflow import MlflowClient
from places import ROOT
from test_train_together import CONFIG

from iqa.device import choose_device
from iqa.distributed.launch import leave, wanted_elsewhere
from iqa.errors import IqaError, UserError


def test_bad_input_is_told_once_and_its_code_is_handed_on(run) -> None:
    said = run("-m", "iqa", "score", "--model", "nowhere", "--input", str(ROOT / "tests" / "docs"), "--processes", "2")
    assert said.returncode == 2
    assert said.stderr.count("error:") == 1, said.stderr
    assert "no pictures" in said.stderr


@pytest.mark.parametrize("given", ["0", "-1"])
def test_no_processes_are_refused(given: str) -> None:
    with pytest.raises(UserError, match="counts processes"):
        wanted_elsewhere(int(given))


def test_under_torchrun_none_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "here", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert not wanted_elsewhere(1)
    assert not wanted_elsewhere(2)
    with pytest.raises(UserError, match="under torchrun"):
        wanted_elsewhere(3)


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"RANK": 5, "LOCAL_RANK": 1, "WORLD_SIZE": 6, "MASTER_ADDR": "here", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="start 2 processes here"):
        choose_device("auto")


def test_other_verbs_are_not_for_several_processes(run) -> None:
    told = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    said = run("-m", "iqa", "evaluate", **told)
    assert said.returncode == 2
    assert "not for several processes" in said.stderr


@pytest.mark.parametrize(
    ("codes", "left"),
    [({0: 2, 1: 1}, 2), ({0: 1, 1: 143}, 1), ({0: -15, 1: 2}, 2), ({0: 143, 1: 143}, 143), ({0: -15, 1: 1}, 1)],
)
def test_the_code_is_that_of_who_failed_by_itself(codes: dict[int, int], left: int) -> None:
    with pytest.raises(SystemExit) as end:
        leave(codes)
    assert end.value.code == left


@pytest.mark.parametrize("codes", [{0: 1, 1: -9}, {0: 143, 1: -9}, {0: -15, 1: -9}])
def test_one_that_was_killed_is_named(codes: dict[int, int]) -> None:
    with pytest.raises(IqaError, match="process 1 was killed"):
        leave(codes)


def test_one_that_is_killed_ends_the_other_and_leaves_no_run_running(
    tmp_path: Path, place_database: Callable[[Path], None]
) -> None:
    place_database(tmp_path / "mlflow.db")
    settings = {"experiment_name": "killed", "tracking": {"enabled": True}}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | settings))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "iqa", "train", "--config", "config.json", "--training.epochs", "500"]
    log = tmp_path / "log"
    with log.open("w") as file:
        begun = subprocess.Popen(
            [*command, "--processes", "2"], cwd=tmp_path, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: "epoch   1/500" in log.read_text())
        children = psutil.Process(begun.pid).children()
        (second,) = [each for each in children if each.environ().get("RANK") == "1"]
        second.send_signal(signal.SIGKILL)
        assert begun.wait(timeout=30) == 1
    finally:
        begun.kill()
    assert "process 1 was killed" in log.read_text()
    assert log.read_text().count("error:") == 1
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    # By what the other one meets first: that its peer is gone, or that it is asked to stop.
    assert run.info.status in ("FAILED", "KILLED")


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)
