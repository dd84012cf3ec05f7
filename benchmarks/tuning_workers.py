"""Do several workers share a study so that no trial is lost or counted twice, even if one of them is killed?

    python benchmarks/tuning_workers.py [--trials 24] [--postgres /usr/lib/postgresql/15/bin | --storage URL]
                                                                        # 1 to 2 minutes on two cores

Three workers share a study. SIGKILL goes to one while a trial of its runs; the others meet the budget. It starts a
PostgreSQL server of its own in a temporary folder (Debian: apt install postgresql; as root it runs as user postgres),
holding both the study and MLflow's store. With --storage the study is made there (MySQL, Optuna's proxy, a journal
file), and MLflow's store is a file.
"""

from __future__ import annotations

from helpers.command import ROOT, parser_of

# isort: split

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import optuna
import torch
from helpers.timing import machine_line
from optuna.storages import RetryHeartbeatStaleTrialCallback

from iqa.commands.cli import run_command
from iqa.errors import IqaError, UserError
from iqa.tuning.planned import PROCESS
from iqa.tuning.storage import open_storage, quietly

HEARTBEAT = 2
#: Of the study, after its config.
NAME = "quick_test"


@dataclass(frozen=True)
class Places:
    """URLs of the study's storage and of MLflow's store."""

    study: str
    runs: str


@contextmanager
def server(binaries: Path) -> Iterator[Places]:
    """A PostgreSQL server with the databases `study` and `mlflow`."""
    with tempfile.TemporaryDirectory() as scratch:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = Path(scratch) / "data"
        as_user: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(scratch, "postgres")
            os.chmod(scratch, 0o755)
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": scratch}
        subprocess.run([*as_user, binaries / "initdb", "-A", "trust", "-U", "iqa", "-D", data], **run)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={scratch}"
        control = [*as_user, binaries / "pg_ctl", "-D", data, "-w", "-l", f"{scratch}/log"]
        subprocess.run([*control, "-o", options, "start"], **run)
        try:
            for name in ("study", "mlflow"):
                subprocess.run([binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "iqa", name], **run)
            yield Places(*(f"postgresql://iqa@127.0.0.1:{port}/{name}" for name in ("study", "mlflow")))
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)


def start_worker(number: int, places: Places, trials: int, folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / f"worker{number}.log").open("wb")
    command = [
        *(sys.executable, "-m", "iqa", "tune", "--config", str(ROOT / "configs/quick_test.json")),
        *("--storage", places.study, "--heartbeat", str(HEARTBEAT), "--trials", str(trials)),
        *("--output", str(folder / "experiments"), "--tuned", str(folder / "tuned")),
        *("--data.train_samples", "300", "--data.val_samples", "100", "--tuning.range_values", "3"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": places.runs,
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def kill_in_mid_trial(worker: subprocess.Popen[bytes], study: optuna.Study, seconds: float = 240) -> int:
    """SIGKILL to `worker` while it runs a trial; the trial's number."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if f":{worker.pid}:" in trial.user_attrs.get(PROCESS, "") and trial.intermediate_values:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                return trial.number
        time.sleep(0.02)
    raise IqaError("the worker to be killed never ran a trial")


def report(runs_at: str, trials: int, killed: int, study: optuna.Study) -> None:
    """The trials by state and by worker, and MLflow's runs, with what must hold."""
    from mlflow import MlflowClient

    history = RetryHeartbeatStaleTrialCallback.retry_history
    everything = study.get_trials(deepcopy=False)
    superseded = {number for trial in everything for number in history(trial)}
    counted = [trial for trial in everything if trial.number not in superseded]
    states = Counter(trial.state.name for trial in counted)
    workers = Counter(trial.user_attrs[PROCESS].split(":")[1] for trial in counted)
    client = MlflowClient(runs_at)
    runs = client.search_runs(["0"], max_results=1000)
    roles = Counter((run.data.tags["role"], run.info.status) for run in runs)
    finished = [run.info.run_name for run in runs if run.data.tags["role"] == "trial" and run.info.status != "FAILED"]
    again = [trial for trial in counted if killed in history(trial)]
    checks = {
        f"trials that count: {dict(states)}, budget {trials}": len(counted) == trials,
        f"trial {killed}, killed, is superseded by {[trial.number for trial in again]}": len(again) == 1,
        f"attempts in all: {len(everything)}": len(everything) == trials + 1,
        f"one parent run: {[key for key in roles if key[0] == 'tune']}": roles[("tune", "FINISHED")] == 1
        and sum(count for (role, _), count in roles.items() if role == "tune") == 1,
        f"no run is left RUNNING: {dict(roles)}": not any(status == "RUNNING" for _, status in roles),
        "no trial has two runs that ended well": max(
            Counter(name for name in finished if name.startswith("trial ")).values()
        )
        == 1,
    }
    print(f"trials by worker: {dict(workers)}")
    for what, holds in checks.items():
        print(f"  {'holds' if holds else 'FAILS'}  {what}")
    if not all(checks.values()):
        raise IqaError("the workers did not share the study as they should")


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=24, help="of the study (default: %(default)s)")
    found = next(iter(sorted(glob("/usr/lib/postgresql/*/bin"))), "")
    parser.add_argument("--postgres", default=found, help="folder with initdb and pg_ctl (default: Debian's)")
    parser.add_argument("--storage", help="where to make the study, in place of PostgreSQL")
    options = parser.parse_args(arguments)
    binaries = Path(options.postgres)
    if not options.storage and not (binaries / "initdb").is_file():
        raise UserError(
            "no PostgreSQL server", got=options.postgres, fix="apt install postgresql, or --postgres FOLDER"
        )
    print(machine_line(torch.device("cpu")), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = Places(options.storage or "", f"sqlite:///{folder}/mlflow.db")
        with quietly(), nullcontext(given) if options.storage else server(binaries) as places:
            share(places, options.trials, folder)


def share(places: Places, trials: int, folder: Path) -> None:
    """Let three workers share a study, kill one, and tell how it went."""
    storage = open_storage(places.study, HEARTBEAT)
    if NAME in optuna.get_all_study_names(storage):
        raise UserError(f"a study called '{NAME}' exists there", fix="name a storage without it")
    workers = [start_worker(number, places, trials, folder) for number in range(3)]
    study = None
    while study is None:
        for number, worker in enumerate(workers):
            if worker.poll():
                raise IqaError(f"worker {number} failed", got=(folder / f"worker{number}.log").read_text()[-2000:])
        try:
            study = optuna.load_study(study_name=NAME, storage=storage)
        except KeyError:
            time.sleep(0.2)
    killed = kill_in_mid_trial(workers[1], study)
    for number in (0, 2):
        if workers[number].wait(timeout=1200):
            print((folder / f"worker{number}.log").read_text()[-3000:])
            raise IqaError(f"worker {number} failed")
    report(places.runs, trials, killed, study)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
