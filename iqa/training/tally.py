"""What an epoch adds up to, batch by batch: loss, scores and the mixture's share of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from iqa import metrics
from iqa.model.quality import Prediction


class Tally:
    """Sums of an epoch, kept on the device so that no step waits for them.

    Args:
        capacity: most pictures that an epoch has.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.count = 0
        self._loss = torch.zeros((), device=device)
        self._scores = torch.empty(2, capacity, device=device)
        self.responsibilities: Tensor | None = None
        self.largest = torch.zeros((), device=device)
        self.log_likelihood = torch.zeros((), device=device)
        self._points: list[Tensor] = []

    @torch.no_grad()
    def add(self, loss: Tensor, predicted: Prediction, true: Tensor) -> None:
        size = len(true)
        self._loss += loss.detach() * size
        self._scores[0, self.count : self.count + size] = predicted.score
        self._scores[1, self.count : self.count + size] = true
        self.count += size
        responsibilities = predicted.responsibilities
        if predicted.z is None or responsibilities is None or predicted.log_likelihood is None:
            return
        self._points.append(predicted.z)
        total = responsibilities.sum(0)
        self.responsibilities = total if self.responsibilities is None else self.responsibilities + total
        self.largest += responsibilities.amax(1).sum()
        self.log_likelihood += predicted.log_likelihood.sum()

    @property
    def points(self) -> Tensor:
        """What the mixture saw, float32 [N, d]: each picture as it was when its turn came."""
        return torch.cat(self._points)

    def close(self) -> tuple[float, dict[str, float | None]]:
        """The mean loss, and the correlations of what was predicted while training."""
        loss = float(self._loss) / max(self.count, 1)
        predicted, true = self._scores[:, : self.count]
        return loss, correlations(predicted, true) if math.isfinite(loss) else {}


def correlations(predicted: Tensor, true: Tensor) -> dict[str, float | None]:
    """SRCC, PLCC, KRCC and RMSE; None where constant scores leave a correlation undefined."""
    a, b = predicted.float().cpu().numpy().astype(np.float64), true.float().cpu().numpy().astype(np.float64)
    values = {name: getattr(metrics, name)(a, b) for name in ("srcc", "plcc", "krcc", "rmse")}
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
