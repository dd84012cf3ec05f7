"""Further processes of this machine that share a study's trials: each runs the command that its user gave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from iqa.errors import UserError
from iqa.processes import cores

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that a helper is given to end by itself, its last trial done or planned again.
PATIENCE = 60


def share_processor(workers: int) -> None:
    """Leave each of `workers` processes its part of the processor; to be called before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // workers))


class Crew:
    """`helpers` processes that run `arguments` of `tune_optuna` as its helpers while the context lasts.

    They load what they need while their command does, and wait for its study. What a helper says goes to
    `helper<n>.log` in `logs`. One that fails is reported at the end and costs nothing but time: its trial is planned
    again.

    Raises:
        UserError: a negative number of them.
    """

    def __init__(self, helpers: int, arguments: Sequence[str], logs: Path) -> None:
        if helpers < 0:
            raise UserError("--workers is a number of processes", got=helpers + 1, expected="1 or more")
        self._count, self._arguments, self._logs = helpers, list(arguments), logs
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Crew:
        # The folder from which the modules come is where ours came from, whatever the working directory.
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "pipelines.tune_optuna", *self._arguments, "--helper"]
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in range(self._count):
            with self._log(number).open("wb") as log:
                started = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
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
                print(f"warning: a helper failed, and the others did its trials: {self._log(number)}", file=sys.stderr)

    def _log(self, number: int) -> Path:
        return self._logs / f"helper{number + 1}.log"
