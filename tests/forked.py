"""Commands as a user starts them, each in a process of its own, without the seconds that every one of them imports for.

A server that has imported it already forks a process for each command: `python -m MODULE ...` or `python FILE ...`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

#: What commands spend their first seconds on.
PRELOADED = (
    *("torch", "torchvision", "timm", "scipy.stats", "sklearn.mixture", "pandas", "matplotlib.pyplot", "seaborn"),
    *("pytest", "mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "optuna", "piq", "psutil"),
    *("iqa.api.train", "iqa.api.evaluate", "iqa.api.compare", "iqa.api.tune", "iqa.api.score", "iqa.commands.main"),
)

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(list(PRELOADED))


class Begun:
    """`python arguments` in a folder while it runs; what can be done with it is called as in `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.args = list(arguments)
        self._place = tempfile.TemporaryDirectory()
        self._said = [Path(self._place.name, name) for name in ("stdout", "stderr")]
        how = (self.args, str(cwd), dict(env), *map(str, self._said))
        self._process = server.Process(target=_be, args=how)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it wrote to stdout and stderr until its end.

        Raises:
            subprocess.TimeoutExpired: it takes longer; it is killed.
        """
        self._process.join(timeout)
        if self.returncode is None:
            self._process.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(self.args, timeout)
        said, errors = (file.read_text() if file.exists() else "" for file in self._said)
        self._place.cleanup()
        return said, errors


def run_forked(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """What `python arguments` comes to in a folder, as `subprocess.run` returns it.

    Raises:
        subprocess.TimeoutExpired: it takes longer.
    """
    process = Begun(arguments, cwd=cwd, env=env)
    said, errors = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def draw_less(patch: pytest.MonkeyPatch) -> None:
    """Fewer draws of the bootstrap and plain figures of few pixels: these take half of a small evaluation's time."""
    patch.setattr("iqa.evaluation.report.SAMPLES", 50)
    patch.setattr("iqa.plots.style.DPI", 60)
    patch.setattr("iqa.plots.style.ConstrainedLayoutEngine", _unlaid)


def draw_fully(patch: pytest.MonkeyPatch) -> None:
    """Figures as they are outside of tests, for those who look at them."""
    patch.setattr("iqa.plots.style.DPI", 200)
    patch.setattr("iqa.plots.style.ConstrainedLayoutEngine", ConstrainedLayoutEngine)


def _unlaid(**_: float) -> None:
    """No layout: finding one takes as long as drawing."""


def _be(arguments: list[str], cwd: str, env: dict[str, str], *said: str) -> None:
    """Become the process that was asked for."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.path[:0] = [cwd]
    draw_less(pytest.MonkeyPatch())
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
