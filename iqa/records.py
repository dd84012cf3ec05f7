"""What one epoch of training left behind: the plain record that loop, tracker and report share."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch. Correlations in [-1, 1], errors in units of the score, time in seconds.

    A figure that does not exist (the mixture's before its start, a correlation of constant scores) is None.
    """

    epoch: int
    train_loss: float | None
    train_srcc: float | None
    train_plcc: float | None
    train_krcc: float | None
    train_rmse: float | None
    val_loss: float | None
    val_srcc: float | None
    val_plcc: float | None
    val_krcc: float | None
    val_rmse: float | None
    learning_rate: float
    images_per_second: float
    seconds: float
    effective_clusters: float | None = None
    dead_components: float | None = None
    largest_responsibility: float | None = None
    log_likelihood: float | None = None

    def metrics(self) -> dict[str, float]:
        """Every figure that exists, by name, for a tracker whose step is the epoch."""
        return {
            name: float(value)
            for name, value in dataclasses.asdict(self).items()
            if name != "epoch" and value is not None and math.isfinite(value)
        }

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EpochRecord:
        return cls(**values)


#: Figures of a record that measure the machine, not the model: a resumed run differs in these alone.
TIMING = ("images_per_second", "seconds")
