"""Trainings whose outcome is known: a formula of their settings and a noise of known size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config
from iqa.errors import IqaError
from iqa.records import EpochRecord

Truth = Callable[[ExperimentConfig], float]


def record(epoch: int, srcc: float | None) -> EpochRecord:
    others = {f"{part}_{name}": None for part in ("train", "val") for name in ("loss", "srcc", "plcc", "krcc", "rmse")}
    return EpochRecord(
        **{**others, "val_srcc": srcc}, epoch=epoch, learning_rate=1e-3, images_per_second=1.0, seconds=1.0
    )


class PretendedTraining:
    """Rises to its final SRCC over its epochs."""

    def __init__(self, final: float, epochs: int) -> None:
        self.history: list[EpochRecord] = []
        self._final, self._epochs = final, epochs

    @property
    def best(self) -> EpochRecord | None:
        return max(self.history, key=lambda epoch: epoch.val_srcc or -1, default=None)

    def epochs(self) -> Iterator[EpochRecord]:
        for epoch in range(1, self._epochs + 1):
            self.history.append(record(epoch, self._final * (1 - 0.5 ** (8 * epoch / self._epochs))))
            yield self.history[-1]


class PretendedBench:
    """Builds them; the noise of a training depends on its settings, its seed and its split alone."""

    training_pictures = 2000

    def __init__(self, truth: Truth, noise: float = 0.0, seed: int = 0) -> None:
        self._truth, self._noise, self._seed = truth, noise, seed
        self.trained: list[tuple[ExperimentConfig, int | None]] = []

    def trainer(self, config: ExperimentConfig, split: int | None = None) -> PretendedTraining:
        self.trained.append((config, split))
        final = self._truth(config)
        if math.isnan(final):
            raise IqaError("out of memory on a pretended GPU", fix="lower data.batch_size")
        about = [config.model.n_clusters, round(1e9 * config.training.learning_rate), config.training.seed]
        random = np.random.default_rng([self._seed, *about, 0 if split is None else split])
        of_split = np.random.default_rng([self._seed, 99, 0 if split is None else split]).normal(0, self._noise)
        return PretendedTraining(final + of_split + random.normal(0, self._noise), config.training.epochs)


class Silent:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def begun(self, name: str, values: dict[str, Any]) -> None:
        self.told.append((name, values))

    def epoch(self, record: EpochRecord) -> None:
        pass

    def ended(self, state: str, reason: str | None = None) -> None:
        self.told.append((state, reason))


def config(**settings: Any) -> ExperimentConfig:
    """A small study; keys as in the config, sections joined by two underscores."""
    values: dict[str, Any] = {
        "experiment_name": "pretended",
        "training": {"epochs": 6},
        "tuning": {"trials": 12, "startup_trials": 4},
    }
    for key, value in settings.items():
        section, _, name = key.partition("__")
        values.setdefault(section, {})[name] = value
    return build_config(values)


def peak(config: ExperimentConfig) -> float:
    """Best at a learning rate of 1e-3, whatever the clusters."""
    return 0.8 - 0.1 * math.log10(config.training.learning_rate / 1e-3) ** 2
