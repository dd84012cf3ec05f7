"""What the benchmarks share: timing in turns, ratios with intervals, rows of a table, the machine."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iqa.processes import cores

#: Resamples behind an interval.
RESAMPLES = 2000
PACKAGES = ("torch", "torchvision", "timm", "mlflow", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Options:
    """What every speed script is told.

    Attributes:
        device: where to compute.
        rounds: turns that each contender gets.
        quick: the smallest sizes, to see that everything runs; its figures mean nothing.
        data: folder of real data; whoever needs what is not there raises `LeftOut`.
        scratch: an empty folder for caches and runs, deleted at the end.
    """

    device: torch.device
    rounds: int
    quick: bool
    data: Path
    scratch: Path

    @property
    def cifar10(self) -> Path:
        """A local copy of CIFAR-10."""
        return self.data / "cifar10"


class LeftOut(Exception):
    """What cannot be measured here, and why."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure with its 95 % interval over rounds, and what was hoped for."""

    what: str
    value: float
    low: float
    high: float
    unit: str = ""
    aim: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Timing:
    """Seconds of each round."""

    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.seconds))

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the median."""
        return _interval(np.array(self.seconds))

    def over(self, other: Timing) -> tuple[float, float, float]:
        """Median and interval of this one's seconds over the other's, round by round."""
        ratios = np.array(self.seconds) / np.array(other.seconds)
        return float(np.median(ratios)), *_interval(ratios)


def in_turns(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    *,
    warm_up: int = 1,
    and_back: bool = False,
) -> dict[str, Timing]:
    """Time works in turns, so that whatever else the machine does falls on all alike; warm-up rounds do not count.

    With `and_back` every second round goes in the opposite order, so that no place in the order decides.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order = list(works)
    for turn in range(warm_up + rounds):
        for name in order:
            spent = seconds_of(works[name], device)
            if turn >= warm_up:
                seconds[name].append(spent)
        if and_back:
            order.reverse()
    return {name: Timing(tuple(spent)) for name, spent in seconds.items()}


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until `work` is done, on the device too."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _interval(values: np.ndarray) -> tuple[float, float]:
    draws = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(low), float(high)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "processor": _processor(),
        "cores": cores(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name, version in versions.items() if version},
    }


def machine_line(device: torch.device) -> str:
    """The same in one line."""
    about = machine(device)
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    return f"{about['gpu'] or about['processor']}, {about['cores']} cores, Python {about['python']}, {packages}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
