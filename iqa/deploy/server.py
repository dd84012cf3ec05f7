"""MLflow's scoring server as a group of processes that starts, answers, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

import psutil

from iqa.errors import IqaError, UserError
from iqa.processes import GIVEN_BACK_FROM, MAPPED_FROM, cores

EnvManager = Literal["local", "uv"]

#: Seconds until a server of this environment must answer (another environment is made first, however long it takes),
#: and between two looks.
READY, LOOK = 300.0, 0.2
#: Seconds in which requests that have begun may be answered once the server is told to stop.
GRACE = 10.0
#: Lines of the server's that are kept for a message.
KEPT = 200
#: A line that says why; that MLflow's command failed because the server that it started did is no news.
_ERROR = re.compile(r"(?!Exception: Command )[\w.]*(Error|Exception)\b|ERROR")
#: What libraries of C read to know how many threads they may use.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: What glibc reads, of processes that multiply: they keep what they free, in one heap for all threads. Else memory for
#: feature maps comes fresh from the system at every layer, filled with zeros: a third of the time (`iqa.commands.cli`).
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(MAPPED_FROM),
    "MALLOC_TRIM_THRESHOLD_": str(GIVEN_BACK_FROM),
}
#: prctl's option: the signal that a process gets when its parent dies.
_PARENT_DIED = 1


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        port: 1 to 65535, which nobody listened at when this was made.
    """

    host: str
    port: int

    @classmethod
    def free(cls, host: str, port: int) -> Address:
        """An address that nobody listens at; port 0 takes any.

        Raises:
            UserError: no such address on this machine, or it is taken.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                # As the server does: what is left of a server that has just ended is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
                return cls(host, probe.getsockname()[1])
        except (OSError, OverflowError, UnicodeError) as error:
            raise UserError(
                f"nothing can listen at {host}:{port}",
                got=getattr(error, "strerror", None) or str(error),
                expected="an address of this machine, and a port from 1 to 65535 that is free",
                fix="give another --port; --port 0 takes any that is free",
            ) from error

    @property
    def reached_at(self) -> str:
        """The host as a client on this machine gives it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        host = f"[{self.reached_at}]" if ":" in self.reached_at else self.reached_at
        return f"http://{host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether other machines may reach it."""
        return self.reached_at != self.host or not (self.host == "localhost" or self.host.startswith(("127.", "::1")))


class Server:
    """`mlflow models serve` at work; leaving the block stops it.

    Args:
        model: the folder of a model that MLflow can serve.
        workers: processes that answer, each with its own copy of the model; the cores are shared out among them.
        env_manager: "local" serves in this environment, "uv" in one made of the model's requirements.
        folder: where the server runs, so that it writes nowhere else.

    Raises:
        UserError: `workers` is no count, or there is no uv.
    """

    def __init__(self, model: Path, address: Address, *, workers: int, env_manager: EnvManager, folder: Path) -> None:
        if workers < 1:
            raise UserError("--workers is no count", got=workers, expected="1 or more")
        self.address, self.workers, self.env_manager = address, workers, env_manager
        told = os.environ.get(THREADS[0], "")
        self.threads = int(told) if told.isdecimal() and int(told) else max(1, cores() // workers)
        self._heard: deque[str] = deque(maxlen=KEPT)
        # Making an environment takes minutes, which its own lines fill; else the server is quiet until it answers.
        self._echo = env_manager != "local"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
        command += ["--host", address.host, "--port", str(address.port)]
        command += ["--workers", str(workers), "--env-manager", env_manager]
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C is for us alone, who then stop it in good order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), name="server", daemon=True)
        self._listener.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self, seconds: float = READY) -> None:
        """Return once it answers.

        Raises:
            UserError: it ends, or does not answer in time.
        """
        deadline = time.monotonic() + seconds if self.env_manager == "local" else float("inf")
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                raise UserError(
                    "the server ended before it answered" if ended else f"no answer of the server in {seconds:g} s",
                    got=self._complaint() or None,
                    fix="--env-manager local serves in the environment of this command"
                    if self.env_manager != "local"
                    else None,
                )
            time.sleep(LOOK)
        self._echo = True

    def wait(self) -> None:
        """Wait as long as it serves.

        Raises:
            IqaError: it ended by itself.
        """
        code = self._process.wait()
        raise IqaError("the server ended", got=self._complaint() or f"exit code {code}")

    def stop(self) -> None:
        """End it: what it is answering is answered within `GRACE` seconds. A second Ctrl-C ends it at once."""
        self._echo = False
        try:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE
            while self._living() and time.monotonic() < deadline:
                time.sleep(LOOK / 4)
        finally:
            while self._living():
                self._signal(signal.SIGKILL)
                time.sleep(LOOK / 4)
            self._process.wait()

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        for name in THREADS:
            environment.setdefault(name, str(self.threads))
        for name, value in MEMORY.items():
            environment.setdefault(name, value)
        # A worker that loads torch may not answer its parent for seconds, who would take it for dead.
        environment.setdefault("UVICORN_TIMEOUT_WORKER_HEALTHCHECK", "120")
        environment.setdefault("UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN", str(int(GRACE) - 2))
        # MLflow looks for the server's and uv's programs by name, and ours may be in an environment that is not active.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
        if self.env_manager == "uv" and shutil.which("uv", path=environment["PATH"]) is None:
            raise UserError("--env-manager uv needs uv, which is not installed", fix="pip install uv")
        return environment

    def _answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection(self.address.reached_at, self.address.port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/ping")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _listen(self, lines: TextIO) -> None:
        # To the end whatever happens: a server whose lines nobody takes would stand still.
        for line in lines:
            self._heard.append(line.rstrip())
            if self._echo:
                with contextlib.suppress(OSError, ValueError):
                    print(line, end="", file=sys.stderr, flush=True)

    def _complaint(self) -> str:
        """What the server's lines say of its end: the last error, or the last line."""
        self._listener.join(1)  # what was said last may still be on its way
        lines = [line for line in self._heard if line.strip()]
        errors = [number for number, line in enumerate(lines) if _ERROR.match(line)]
        said = list(
            takewhile(lambda line: not line.startswith("Traceback"), lines[errors[-1] :] if errors else lines[-1:])
        )
        return "\n".join(said[:6])

    def _living(self) -> bool:
        """Whether any process of its group runs."""
        self._process.poll()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    return True
        return False

    def _signal(self, name: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, name)


def _die_with_parent() -> None:
    """Between fork and start of the server: it shall not outlive this process, however that dies."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever started this process may have it ignored
    ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGTERM)
