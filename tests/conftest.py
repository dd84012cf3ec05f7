"""What every test can ask for: a cache of its own, real data where there is some, commands run as a user would."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from forked import draw_less, run_forked
from places import ROOT

from iqa.tracking import embedded

#: How pages are taken apart, and what generates parts of them.
sys.path += [str(ROOT / "tests" / "docs"), str(ROOT / "docs")]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Side by side, each on a core of its own: threads would only wait for those of the others.
    os.environ["OMP_NUM_THREADS"] = "1"


#: Files that take minutes: begun first, so that no core waits for the last of them.
LONG = (
    *("test_docs", "test_tune_end_to_end", "test_ui", "test_library", "test_faults", "test_ensemble", "test_onnx"),
    *("test_readme", "test_protocol", "test_end_to_end", "test_compare_end_to_end", "test_report", "test_learning"),
    *("test_score_images", "test_tracking"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files in front."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(autouse=True)
def _no_surprises(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and no MLflow settings of the machine that runs the tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


#: Handlers of signals as pytest has them.
HANDLERS = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """A command that runs in this process sets handlers of signals, which no test must find: nor those of fixtures."""
    for name, handler in HANDLERS.items():
        signal.signal(name, handler)
    yield
    for name, handler in HANDLERS.items():
        signal.signal(name, handler)


def left_in_checkout() -> set[str]:
    """What commands write where they are begun, found in the checkout."""
    places = [ROOT, ROOT / "mlruns"]
    written = ("mlflow.db", "optuna.db", "experiments", "scores", "audits", "0", "1")
    return {str(place / name) for place in places for name in written if (place / name).exists()}


@pytest.fixture(autouse=True)
def _checkout_stays() -> Iterator[None]:
    """A test leaves nothing in the checkout, where its owner may have work."""
    before = left_in_checkout()
    yield
    assert left_in_checkout() == before


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the library warned of."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("iqa")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads of torch wait for each other by spinning, which takes minutes where tests share the processors."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared pictures, shared by the tests of this run, which leave the user's own cache alone."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IQA_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="session", autouse=True)
def _draws_less() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draw_less(patch)
        yield


@pytest.fixture(scope="session")
def place_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts MLflow's database, still empty, where a test's is to be: MLflow itself takes seconds to make one."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "empty" / "mlflow.db"
    make = embedded._make

    def place(file: Path) -> None:
        if not made.exists():
            made.parent.mkdir(exist_ok=True)
            with FileLock(made.with_suffix(".lock")):
                if not made.exists():
                    make(made.with_suffix(".new"))
                    made.with_suffix(".new").rename(made)
        shutil.copy(made, file)
        with closing(sqlite3.connect(file)) as base, base:
            base.execute(
                "UPDATE experiments SET artifact_location = ?", (str(file.parent.absolute() / "mlruns" / "0"),)
            )

    return place


@pytest.fixture(autouse=True)
def _databases_are_placed(place_database: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_make", place_database)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, or a skip."""
    place = Path(os.environ.get("IQA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"real data sets are not at {place} (set IQA_SHARED_DATA)")
    return place


@pytest.fixture
def run(tmp_path: Path, place_database: Callable[[Path], None]):
    """Run `python <arguments>` of the project in a folder of its own; returns the finished process."""

    def command(*arguments: str | Path, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        if "-m" in arguments and "--tracking.enabled" not in arguments and not (tmp_path / "mlflow.db").exists():
            place_database(tmp_path / "mlflow.db")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        if arguments[0] == "-c":
            python = [sys.executable, *map(str, arguments)]
            how = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": timeout}
            return subprocess.run(python, **how, check=False)
        return run_forked([str(each) for each in arguments], cwd=tmp_path, env=environment, timeout=timeout)

    return command
