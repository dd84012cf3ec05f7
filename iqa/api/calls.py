"""How a call behaves: silent unless it is asked to speak, and with nothing of the process left changed."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from iqa.config import ExperimentConfig
from iqa.data.store.cache import cache_folder
from iqa.estimate import Forecast
from iqa.progress import tell

P = ParamSpec("P")
R = TypeVar("R")

#: What `mlflow run` tells the process that it starts; the first call takes it, so that the next opens its own run.
TAKEN = {"MLFLOW_RUN_ID"}


@dataclass(frozen=True)
class Terminal:
    """Says lines on stdout if it is to.

    Attributes:
        verbose: whether it is.
    """

    verbose: bool = False

    def say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)

    def begins(self, work: str, what: str, load: Forecast, places: Sequence[str]) -> None:
        """The first line, on stderr as all news of progress: what will be done, what it takes, where it writes."""
        if self.verbose:
            line = f"{work}: {what}; {load.said()}; writes {', '.join(places)}"
            sizes = {"disk": load.disk, "each": load.each, "memory": load.memory, "gpu": load.gpu}
            tell(line, work=work, what=what, **sizes, writes=list(places))

    @property
    def bars(self) -> bool | None:
        """For `progress=` of what takes long: None, bars on a terminal and lines elsewhere; False, nothing."""
        return None if self.verbose else False


def places(config: ExperimentConfig, folder: Path, load: Forecast | None = None) -> list[str]:
    """Where work on `config` writes: its folder, the cache where that lacks something, and MLflow."""
    lacks = load is not None and (any(load.caches.values()) or load.each)
    cache = [f"the cache {cache_folder(config.data.cache_dir)}"] if lacks else []
    return [str(folder), *cache, *["MLflow"] * config.tracking.enabled]


def logged_here(config: ExperimentConfig) -> bool:
    """Whether MLflow keeps its copies of files on this machine."""
    address = config.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return config.tracking.enabled and not address.startswith(("http://", "https://", "databricks"))


#: Says nothing.
SILENT = Terminal()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give back the random states of Python, numpy and torch and the environment variables, whatever the block did.

    Threads, signal handlers, matplotlib's settings and MLflow's active run are never touched, or given back where
    they are. Where torch is not installed there is no state of its to give back.
    """
    import numpy as np

    environment, python, legacy = dict(os.environ), random.getstate(), np.random.get_state()
    with _torch_as_found():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
            for name in [*os.environ]:
                if name not in environment:
                    del os.environ[name]
            for name, value in environment.items():
                if name not in TAKEN and os.environ.get(name) != value:
                    os.environ[name] = value


def _torch_as_found() -> AbstractContextManager[None]:
    """Torch's random states are given back when the block ends."""
    try:
        import torch
    except ImportError:
        return nullcontext()
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    return torch.random.fork_rng(devices=devices)


def as_found(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, within `undisturbed`."""

    @functools.wraps(function)
    def calm(*args: P.args, **kwargs: P.kwargs) -> R:
        with undisturbed():
            return function(*args, **kwargs)

    return calm
