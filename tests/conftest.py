"""What every test can ask for: a cache of its own, real data where there is some, commands run as a user would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

if "PYTEST_XDIST_WORKER" in os.environ:
    # Side by side, each on a core of its own: threads would only wait for those of the others.
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _no_surprises(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and no MLflow settings of the machine that runs the tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """A command that a test runs in this process sets handlers of signals, which the next test must not find."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in handlers.items():
        signal.signal(name, handler)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads of torch wait for each other by spinning, which takes minutes where tests share the processors."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared pictures, shared by the tests of this run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, or a skip."""
    place = Path(os.environ.get("IQA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"real data sets are not at {place} (set IQA_SHARED_DATA)")
    return place


@pytest.fixture
def run(tmp_path: Path, shared_cache: Path):
    """Run `python <arguments>` of the project in a folder of its own; returns the finished process."""

    def command(*arguments: str | Path, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "IQA_CACHE": str(shared_cache), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return command
