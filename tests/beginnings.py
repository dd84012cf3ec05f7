"""Stores that several processes make at once, or one makes that is killed on the way; run as a program.

    python tests/beginnings.py KIND at_once|killed TRIES

KIND is mlflow or optuna. It forks what opens the store, so that each try begins with everything imported, and prints a
JSON object: tries, and what failed.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

#: A killed maker lives for so many seconds at most; by then it is done.
LONGEST = {"mlflow": 2.5, "optuna": 0.4}
#: Processes that begin at once.
PROCESSES = 3

fork = multiprocessing.get_context("fork")


def use_mlflow(folder: Path) -> None:
    """A run with one figure in MLflow's file."""
    from iqa.tracking.store import connect

    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "srcc", 0.5)
    client.set_terminated(run.info.run_id)


def use_optuna(folder: Path) -> None:
    """A study with one trial in Optuna's file."""
    import optuna

    from iqa.tuning.storage.opening import open_storage, quietly

    with quietly():
        storage = open_storage(f"sqlite:///{folder / 'optuna.db'}", 20)
        study = optuna.create_study(storage=storage, study_name="study", load_if_exists=True)
        study.enqueue_trial({"x": 1.0})


USES: dict[str, Callable[[Path], None]] = {"mlflow": use_mlflow, "optuna": use_optuna}


def preload(kind: str) -> None:
    """Import all that a use needs."""
    stores = {"mlflow": "mlflow.store.tracking.sqlalchemy_store", "optuna": "optuna.storages"}
    for name in (stores[kind], "iqa.tracking.store", "iqa.tuning.storage.opening"):
        importlib.import_module(name)


def begun(use: Callable[[Path], None], folder: Path, barrier: object = None) -> multiprocessing.Process:
    def work() -> None:
        os.dup2(os.open(folder / "said", os.O_CREAT | os.O_APPEND | os.O_WRONLY), 2)
        if barrier is not None:
            barrier.wait()  # type: ignore[attr-defined]
        use(folder)

    process = fork.Process(target=work)
    process.start()
    return process  # type: ignore[return-value]


def at_once(use: Callable[[Path], None], folder: Path, random_time: float) -> bool:
    """Whether all that begin at the same moment in a fresh folder find a store."""
    barrier = fork.Barrier(PROCESSES)
    processes = [begun(use, folder, barrier) for _ in range(PROCESSES)]
    ends = [ended_well(process) for process in processes]
    return all(ends)


def killed(use: Callable[[Path], None], folder: Path, random_time: float) -> bool:
    """Whether the next one finds or makes a store after one was killed while it made it."""
    first = begun(use, folder)
    time.sleep(random_time)
    os.kill(first.pid or 0, signal.SIGKILL)
    first.join()
    return ended_well(begun(use, folder))


def ended_well(process: multiprocessing.Process) -> bool:
    process.join(60)
    if process.exitcode is None:
        process.kill()
    return process.exitcode == 0


def tried(kind: str, how: Callable[[Callable[[Path], None], Path, float], bool], tries: int) -> dict[str, object]:
    preload(kind)
    draw = random.Random(0)
    failed = []
    for number in range(tries):
        moment = draw.uniform(0, LONGEST[kind])
        with tempfile.TemporaryDirectory() as folder:
            if not how(USES[kind], Path(folder), moment):
                said = (Path(folder) / "said").read_text(errors="replace")
                failed.append(f"try {number}, {moment:.2f} s: {said[-400:]}")
    return {"kind": kind, "how": how.__name__, "tries": tries, "failed": failed}


if __name__ == "__main__":
    print(json.dumps(tried(sys.argv[1], {"at_once": at_once, "killed": killed}[sys.argv[2]], int(sys.argv[3]))))
