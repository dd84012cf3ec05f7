"""One MLflow run per training, one per evaluation as its child, one per folder of scored pictures, one per audit."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from iqa.config import ExperimentConfig
from iqa.errors import Interrupted, UserError
from iqa.processes import this_process
from iqa.tracking.endings import PROCESS_TAG, have_last_word
from iqa.tracking.notes import read_run_note, write_run_note
from iqa.tracking.sending.delivery import Delivery, now
from iqa.tracking.sending.outbox import UNBORN, Outbox, warn
from iqa.tracking.store import good_manners, shown, tracking_uri
from iqa.tracking.tracker import Tracker
from iqa.tracking.view import EXPERIMENT

#: The run that `mlflow run` opened for this process.
LAUNCHED = "MLFLOW_RUN_ID"
#: Seconds' worth of a study's trials that go to MLflow together: one by one would cost more than a short epoch.
GATHER = 5.0
#: Seconds in which one that is stopped still delivers: who stopped it may kill it soon.
LEAVING_SECONDS = 3.0
#: Seconds between two looks at processor, memory, disk, network and GPU.
SYSTEM_METRICS_SECONDS = 5


@contextmanager
def open_run(
    config: ExperimentConfig,
    *,
    role: Literal["audit", "train", "split", "evaluate", "ensemble", "score", "tune", "compare"],
    name: str,
    parent: str | None = None,
    run_id: str | None = None,
    directory: Path | None = None,
    tags: dict[str, Any] | None = None,
) -> Iterator[Tracker]:
    """Open the run of an audit, a training, a test, a scoring, a study or a comparison; it ends as its block does.

    The end is FINISHED, FAILED or KILLED.

    The run is `run_id` (what is resumed), else the one that `mlflow run` opened, else a new one. A server
    that does not answer costs one warning: what it misses waits in `directory`/tracking_pending.jsonl.

    Args:
        role: a "split" is one of several trainings of a "train", its parent; all but "evaluate" write
            `directory`/mlflow.json; "evaluate" without `parent` becomes a child of the run noted there.
        name: of a new run.
        parent: id of the run whose child this is.
        run_id: the run to continue; a new one is opened if the store does not have it.
        directory: the folder of the experiment or of the scores; None keeps nothing on disk.
        tags: added to role, backbone, dataset and device.

    Raises:
        UserError: a tracking URI or experiment that cannot be used.
    """
    if not config.tracking.enabled:
        yield Tracker(None, None)
        return
    with good_manners():
        note = read_run_note(directory)
        if role == "evaluate" and parent is None:
            parent = note.get("run_id")
        launched = os.environ.pop(LAUNCHED, None)
        uri = tracking_uri(config.tracking.uri, note.get("tracking_uri"))
        outbox = Outbox(uri, directory, gather=GATHER if role == "tune" else 0)
        outbox.connect()
        resumed = outbox.run_id(run_id) if run_id else None
        all_tags = standard_tags(config, role) | (tags or {}) | {PROCESS_TAG: this_process()}
        if parent:
            all_tags["mlflow.parentRunId"] = outbox.run_id(parent)
        run, resumed = _brought(outbox, config, resumed, launched, name, all_tags)
        # A resumed training under `mlflow run` writes to its old run; the launcher's own becomes its child.
        spare = [launched] if launched and launched != run else []
        with _ends(outbox, [run, *spare], launched), _system_metrics(config, outbox, run):
            outbox.put({"what": "bury", "run": run})
            place = _experiment_of(outbox, run)
            if role != "evaluate" and directory is not None:
                aliases = {"aliases": note["aliases"]} if "aliases" in note else {}
                write_run_note(directory, run_id=run, tracking_uri=uri, experiment_id=place, **aliases)
            for other in spare:
                outbox.put({"what": "tags", "run": other, "tags": {"mlflow.parentRunId": run, "role": "resume"}})
            yield Tracker(outbox, run, directory, not resumed, experiment=wanted_experiment(config), place=place)


def _experiment_of(outbox: Outbox, run: str) -> str | None:
    """The id of a run's experiment; None while no server has the run."""
    if not outbox.down:
        with suppress(Exception):  # a server that fails just now costs no training
            return str(outbox.client().get_run(run).info.experiment_id)
    return None


def standard_tags(config: ExperimentConfig, role: str) -> dict[str, Any]:
    """Tags by which the run table is filtered; MLflow adds user, source file and git commit."""
    tags = {"role": role, "dataset": config.data.dataset}
    if role == "audit":  # which no model takes part in
        return tags
    return tags | {"backbone": config.model.backbone, "device": config.training.device}


def _brought(
    outbox: Outbox, config: ExperimentConfig, resumed: str | None, launched: str | None, name: str, tags: dict[str, Any]
) -> tuple[str, str | None]:
    """Bring the run into being, or back to life: its id, and that of the resumed run, None if the store lost it.

    Raises:
        UserError: the store refuses.
    """
    opening = _opening(config, resumed or launched, name, tags)
    if outbox.open(opening) != "refused":
        return outbox.run_id(opening["run"]), resumed
    if resumed and opening["what"] == "reopen":
        warn(f"MLflow has no run {resumed} in {shown(outbox.uri)}; another one continues it")
        return _brought(outbox, config, None, launched, name, tags)
    where = shown(outbox.uri)
    raise UserError(f"MLflow opens no run in {where}", fix="the warning above says what it refused")


def _opening(config: ExperimentConfig, run_id: str | None, name: str, tags: dict[str, Any]) -> Delivery:
    """The delivery that brings a run into being, or back to life."""
    if run_id and not run_id.startswith(UNBORN):
        return {"what": "reopen", "run": run_id, "name": name, "tags": tags}
    return {
        "what": "create",
        "run": run_id or f"{UNBORN}{uuid.uuid4().hex}",
        "experiment": wanted_experiment(config),
        "name": name,
        "tags": tags,
        "start_time": now(),
    }


def wanted_experiment(config: ExperimentConfig) -> dict[str, str]:
    """Where a new run goes: the config's experiment, else the environment's, else one of this project's name."""
    if config.tracking.experiment:
        return {"name": config.tracking.experiment}
    for key in ("name", "id"):
        if value := os.environ.get(f"MLFLOW_EXPERIMENT_{key.upper()}"):
            return {key: value}
    return {"name": EXPERIMENT}


@contextmanager
def _ends(outbox: Outbox, runs: list[str], launched: str | None) -> Iterator[None]:
    """End `runs` as the block ends, and deliver what is left, whatever happens."""
    status, error = "FINISHED", None
    previous = _on_sigterm(_interrupt)
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stop:
        status, error = "KILLED", str(stop) or "Ctrl-C"
        raise
    except SystemExit as leaving:
        if leaving.code not in (0, None):
            status, error = "FAILED", f"exit code {leaving.code}"
        raise
    except BaseException as failure:
        status, error = "FAILED", f"{type(failure).__name__}: {failure}"
        raise
    finally:
        # `mlflow run` sends SIGTERM right after Ctrl-C; it must not keep the run from being ended.
        ours = _on_sigterm(signal.SIG_IGN)
        try:
            for run in runs:
                if error:
                    outbox.put({"what": "tags", "run": run, "tags": {"error": error}})
                outbox.put({"what": "end", "run": run, "status": status, "time": now()})
            outbox.close(LEAVING_SECONDS if status == "KILLED" else None)
            if launched and status == "KILLED" and not outbox.down:
                have_last_word(outbox.uri, launched)
        finally:
            _on_sigterm(previous if ours is _interrupt else ours)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by SIGTERM")


def _on_sigterm(handler: Any) -> Any:
    """Set the handler of SIGTERM and return the one before; one that the program chose itself stays."""
    if threading.current_thread() is not threading.main_thread():
        return None
    previous = signal.getsignal(signal.SIGTERM)
    if handler is _interrupt and previous is not signal.SIG_DFL:
        return previous
    signal.signal(signal.SIGTERM, handler if handler is not None else signal.SIG_DFL)
    return previous


@contextmanager
def _system_metrics(config: ExperimentConfig, outbox: Outbox, run: str) -> Iterator[None]:
    """Log processor, memory, disk, network and, where there is one, GPU, from a thread of MLflow's."""
    if outbox.down or not config.tracking.system_metrics:
        yield
        return
    _tell_of_gpu()
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run, sampling_interval=SYSTEM_METRICS_SECONDS, resume_logging=True, tracking_uri=outbox.uri
    )
    monitor.start()
    try:
        yield
    finally:
        if not outbox.down:  # its thread would wait for the server once more
            with suppress(Exception):
                monitor.finish()


def _tell_of_gpu() -> None:
    """Say what is missing where a GPU is used and its use cannot be recorded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and importlib.util.find_spec("pynvml") is None:
        warn("the GPU's use is not recorded: pip install nvidia-ml-py")
