"""What a piece of work will take, in numbers and in words; `iqa.forecast` finds the numbers for what learns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil

from iqa.config import ExperimentConfig
from iqa.files import roughly

#: Bytes, as measured: what MLflow and a GPU's libraries hold.
TRACKING, GPU_LIBRARIES = 200 * 10**6, 2500 * 10**6
#: What a scoring draws, what it writes of a picture, and what decoding holds.
SHEETS, ROW, DECODING = 26 * 10**5, 400, 200 * 10**6
#: Of what a picture takes at most on its way through a network: what is held at once, with room between the maps.
PASSING = 1.4


@dataclass(frozen=True)
class Forecast:
    """What work will take.

    Attributes:
        caches: bytes still to be written to the cache, by what they hold: what several trainings share counts once.
        files: bytes of its other files.
        memory: bytes at its peak, of this process.
        gpu: bytes at its peak, of the GPU.
        each: bytes that the cache takes for each picture, at most, where nobody knows yet how many there are.
        pictures: how many, in words.
    """

    caches: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    memory: int = 0
    gpu: int = 0
    each: int = 0
    pictures: str = ""

    @property
    def disk(self) -> int:
        return self.files + sum(self.caches.values())

    def said(self) -> str:
        """Disk and memory in words."""
        disk = f"about {roughly(self.disk)} of disk"
        if self.each:
            disk += f" and up to {roughly(self.each)} more for each picture, which are not counted yet"
        gpu = f" and {roughly(self.gpu)} of the GPU's" if self.gpu else ""
        return f"{disk}, {roughly(self.memory)} of memory{gpu}"


def in_turn(parts: Iterable[Forecast]) -> Forecast:
    """Of pieces of work that are done one after the other."""
    all_parts = list(parts)
    return Forecast(
        caches={name: size for part in all_parts for name, size in part.caches.items()},
        files=sum(part.files for part in all_parts),
        memory=max((part.memory for part in all_parts), default=0),
        gpu=max((part.gpu for part in all_parts), default=0),
        each=max((part.each for part in all_parts), default=0),
        pictures=next((part.pictures for part in all_parts), ""),
    )


def scoring(passing: int, pictures: int, *, batch_size: int, on_gpu: bool, logged_here: bool = False) -> Forecast:
    """What scoring so many new pictures will take.

    Args:
        passing: bytes that a square takes at most while it passes through the network.
        batch_size: squares that the network sees at once.
        logged_here: MLflow keeps its copies on this machine.
    """
    step = int(PASSING * passing * batch_size)
    return Forecast(
        files=(1 + 2 * logged_here) * (SHEETS + ROW * pictures),
        memory=psutil.Process().memory_info().rss + TRACKING + DECODING + (GPU_LIBRARIES if on_gpu else step),
        gpu=step if on_gpu else 0,
    )


def about(config: ExperimentConfig) -> str:
    """What is trained, in words."""
    model = config.model
    how = "frozen" if model.freeze_backbone else "trained"
    if model.frozen_stages:
        how = f"trained behind {model.frozen_stages} frozen stages"
    mixture = f"with {model.n_clusters} clusters" if model.n_clusters else "without a mixture"
    return f"{model.backbone} ({how}) {mixture}"
