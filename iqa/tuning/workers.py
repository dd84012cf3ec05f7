"""Further processes of this machine that share a study's trials."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from iqa.config import ExperimentConfig
from iqa.errors import UserError
from iqa.files import write_json
from iqa.processes import cores

#: Seconds that a helper is given to end by itself, its last trial done or planned again.
PATIENCE = 60
#: The folder that this package is in, for processes that start elsewhere.
HOME = Path(__file__).resolve().parents[2]
#: What a helper trains by: the config as its command understood it.
CONFIG = "helper_config.json"

log = logging.getLogger(__name__)


def share_processor(workers: int) -> dict[str, str]:
    """Environment variables that leave each of `workers` processes its part of the processor; torch reads them once."""
    return {"OMP_NUM_THREADS": str(max(1, cores() // workers))} if workers > 1 else {}


class Workers:
    """`workers` - 1 processes that help with a study while the context lasts.

    They load what they need while their command does, and wait for its study. What a helper says goes to
    `helper<n>.log` in `folder`. One that fails is reported at the end and costs nothing but time: its trial is planned
    again.

    Raises:
        UserError: fewer than one worker, or no time between signs of life.
    """

    def __init__(
        self, workers: int, config: ExperimentConfig, folder: Path, *, storage: str, study: str, heartbeat: int
    ) -> None:
        if workers < 1:
            raise UserError("--workers is a number of processes", got=workers, expected="1 or more")
        if heartbeat < 1:
            raise UserError("--heartbeat is in seconds", got=heartbeat, expected="1 or more")
        self._workers, self._config, self._folder = workers, config, folder
        self._options = ["--storage", storage, "--study", study, "--heartbeat", str(heartbeat)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        if self._workers == 1:
            return self
        write_json(self._folder / CONFIG, self._config.to_dict())
        paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **share_processor(self._workers), "PYTHONPATH": os.pathsep.join(paths)}
        options = ["--config", str(self._folder / CONFIG), "--output", str(self._folder.parent), *self._options]
        command = [sys.executable, "-m", "iqa", "tune", *options, "--helper"]
        for number in range(self._workers - 1):
            with self._log(number).open("wb") as said:
                started = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
                )
            self._processes.append(started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, process in enumerate(self._processes):
            if error is not None:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode and error is None:
                log.warning("warning: a helper failed, and the others did its trials: %s", self._log(number))

    def _log(self, number: int) -> Path:
        return self._folder / f"helper{number + 1}.log"
