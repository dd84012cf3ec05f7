"""What waits for MLflow in a folder that several processes share, and what a kill leaves of it: everything, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import run_forked

from iqa.config import ExperimentConfig
from iqa.errors import IqaError
from iqa.processes import this_process
from iqa.tracking import open_run, read_run_note
from iqa.tracking.notes import NOTE
from iqa.tracking.sending.delivery import PENDING
from iqa.tracking.sending.pending import Pending

#: A study of three trials, of which none has gone to MLflow yet as its process is killed.
STUDY = """
import os, signal, sys, time
from pathlib import Path
from iqa.config import ExperimentConfig
from iqa.tracking import open_run
from iqa.tracking.sending.pending import Pending

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

keep = Pending.keep
if sys.argv[2] == "as it notes that MLflow has them":
    Pending.keep = lambda self, kept: kill() if Path("study/tracking_pending.jsonl").exists() else keep(self, kept)
config = ExperimentConfig(experiment_name="small", tracking={"uri": sys.argv[1], "system_metrics": False})
with open_run(config, role="tune", name="study", directory=Path("study")) as tracker:
    for number in range(3):
        child = tracker.open_child(f"trial {number}", {"role": "trial"}, {"rate": number})
        child.log_metrics({"val_srcc": 0.5}, step=1)
        child.log_metrics({"val_srcc": 0.6}, step=2)
        child.close_child("FINISHED", {"trial_state": "complete"})
    if sys.argv[2] == "before MLflow has them":
        kill()
    time.sleep(60)
"""

#: Keeps a delivery in the folder until its input ends.
NEIGHBOUR = """
import sys
from pathlib import Path
from iqa.tracking.sending.pending import Pending
Pending(Path(sys.argv[1])).keep([{"what": "tags", "run": "theirs", "tags": {}}])
print("kept", flush=True)
sys.stdin.read()
"""


def a_run(name: str) -> dict[str, Any]:
    return {"what": "tags", "run": name, "tags": {}}


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that keeps something in the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "kept\n"
        yield process
        process.kill()


@pytest.mark.parametrize("moment", ["before MLflow has them", "as it notes that MLflow has them"])
@pytest.mark.parametrize("noted", [True, False])
def test_a_killed_study_loses_no_trial_and_doubles_none(
    moment: str, noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    Path("study.py").write_text(STUDY)
    process = run_forked(["study.py", uri, moment], cwd=tmp_path, env=os.environ, timeout=120)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "study" / PENDING).is_file()
    note = read_run_note(tmp_path / "study")
    if not noted:  # it was killed between the two
        (tmp_path / "study" / NOTE).write_text(json.dumps({**note, "aliases": {}}))

    config = ExperimentConfig(experiment_name="small", tracking={"uri": uri, "system_metrics": False})
    with open_run(config, role="tune", name="study", run_id=note["run_id"], directory=tmp_path / "study"):
        pass

    client = MlflowClient(uri)
    trials = [run for run in client.search_runs(["1"]) if run.data.tags.get("role") == "trial"]
    assert sorted(run.info.run_name for run in trials) == ["trial 0", "trial 1", "trial 2"]
    assert {run.info.status for run in trials} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {note["run_id"]}
    for run in trials:
        curve = client.get_metric_history(run.info.run_id, "epoch/val/srcc")
        assert [(each.step, each.value) for each in curve] == [(1, 0.5), (2, 0.6)]
    assert not (tmp_path / "study" / PENDING).exists()


def test_two_processes_that_keep_something_in_one_folder_lose_nothing(
    tmp_path: Path, neighbour: subprocess.Popen[str]
) -> None:
    own = Pending(tmp_path)
    own.keep([a_run("first")])
    own.add(a_run("second"))
    assert own.take() == [a_run("first"), a_run("second")]
    own.keep([])
    assert [json.loads(line)["run"] for line in (tmp_path / PENDING).read_text().splitlines()] == ["theirs"]


def test_what_a_process_leaves_is_the_next_ones_and_what_a_living_one_keeps_is_not(
    tmp_path: Path, neighbour: subprocess.Popen[str]
) -> None:
    assert Pending(tmp_path).take() == []
    neighbour.kill()
    neighbour.wait()
    assert Pending(tmp_path).take() == [a_run("theirs")]
    assert json.loads((tmp_path / PENDING).read_text())["by"] == this_process()


def test_what_may_have_been_delivered_is_marked(tmp_path: Path) -> None:
    gone = f"{os.uname().nodename}:999999999:1"
    opening = {"what": "create", "run": "pending-1", "name": "trial"}
    figures = {"what": "metrics", "run": "pending-1", "metrics": []}
    lines = [{**each, "by": gone} for each in (opening, figures)] + [opening]
    (tmp_path / PENDING).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert Pending(tmp_path).take() == [{**opening, "tried": True}, {**figures, "what": "again"}, opening]


def test_lines_that_are_none_are_passed_over_and_do_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / PENDING).write_text(
        '[]\n{}\nnull\n{"what": "tags"}\n{"by": [], "what": "end", "run": "a"}\n{"what": "ta'
    )
    pending = Pending(tmp_path)
    pending.add(a_run("b"))
    assert pending.take() == [{"what": "end", "run": "a"}, a_run("b")]


def test_a_folder_in_which_nothing_waits_gets_no_file(tmp_path: Path) -> None:
    pending = Pending(tmp_path)
    assert pending.take() == []
    pending.keep([])
    assert list(tmp_path.iterdir()) == []


def test_what_waits_on_a_full_disk_is_taken_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise IqaError("cannot write tracking_pending.jsonl")

    Pending(tmp_path).keep([a_run("first")])
    monkeypatch.setattr("iqa.tracking.sending.pending.write_text", full)
    assert Pending(tmp_path).take() == [a_run("first")]
    with pytest.raises(IqaError):
        Pending(tmp_path).keep([a_run("second")])
