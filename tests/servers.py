"""Servers that a test starts: a port that is free, the wait for an answer, and the end of all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

#: How long a server may take to answer.
SECONDS = 90
#: What an MLflow server of a test does without: helpers of its own, and a word to its makers.
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def fetch(address: str) -> bytes:
    """What a server on this machine answers, whatever proxies there are."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
        return bytes(answer.read())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(command: Sequence[str], address: str, **options: Any) -> Iterator[None]:
    """A command in a process group of its own, from when it answers at an address; `options` are those of Popen."""
    server = subprocess.Popen(command, start_new_session=True, **options)
    try:
        _await(address, server)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _await(address: str, server: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + SECONDS
    while True:
        try:
            fetch(address)
            return
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.2)
