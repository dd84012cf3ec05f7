"""Endings that a run cannot write itself: after a SIGKILL, and after `mlflow run` has had its say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import iqa
from iqa.processes import is_alive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Tag that says which process writes a run, by the name that it gives itself.
PROCESS_TAG = "process"
#: Seconds since the last figure of a run within which it is not buried on a doubtful sign: longer than most epochs.
LATELY = 3600.0
LAST_WORD_SECONDS = 60.0


def bury_dead_runs(client: MlflowClient, run_id: str) -> None:
    """Mark as KILLED what processes that are gone left RUNNING in the experiment of `run_id`.

    What has a new figure, such as one of the machine's use, is left alone where its process may be one that cannot be
    seen from here.
    """
    experiment = client.get_run(run_id).info.experiment_id
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and tags.{PROCESS_TAG} != ''"):
        if run.info.run_id != run_id and not is_alive(run.data.tags[PROCESS_TAG], heard=is_heard_of(run)):
            client.set_tag(run.info.run_id, "error", "its process vanished")
            client.set_terminated(run.info.run_id, "KILLED")


def is_heard_of(run: Run) -> bool:
    """Whether a figure of the run is recent, or from a clock that is ahead of this one."""
    # What a search returns has the time of each figure, which MLflow offers by name through requests of their own only.
    latest = max((figure.timestamp for figure in run.data._metric_objs), default=None)
    return latest is not None and time.time() - latest / 1000 < LATELY


def have_last_word(uri: str, run_id: str) -> None:
    """Leave a process behind that sets an interrupted run to KILLED after `mlflow run` has set it to FAILED.

    MLflow 3.17 means to leave a status alone that the program has set, but compares a name with a number
    (`RunStatus.is_terminated`), so that it always writes its own, by the exit code.
    """
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(Path(iqa.__file__).parents[1])}
    subprocess.Popen(
        [sys.executable, "-m", "iqa.tracking.endings", run_id],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def correct_status(client: MlflowClient, run_id: str, seconds: float = LAST_WORD_SECONDS) -> bool:
    """Wait until the run is FAILED and make it KILLED; give up when it runs again or time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        info = client.get_run(run_id).info
        if info.status == "FAILED":
            client.set_terminated(run_id, "KILLED", end_time=info.end_time)
            return True
        if info.status == "RUNNING":
            return False
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    from mlflow import MlflowClient

    correct_status(MlflowClient(), sys.argv[1])
