"""What an epoch adds up to: loss, scores and the mixture's share of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from iqa import metrics
from iqa.model.quality import Prediction


class Tally:
    """What an epoch's batches gave, kept on the device and summed up at its end: no step waits for it or adds to it."""

    def __init__(self) -> None:
        self.count = 0
        self._losses: list[Tensor] = []
        self._predicted: list[Tensor] = []
        self._true: list[Tensor] = []
        self._points: list[Tensor] = []
        self._responsibilities: list[Tensor] = []
        self._log_likelihoods: list[Tensor] = []

    def add(self, loss: Tensor, predicted: Prediction, true: Tensor) -> None:
        self.count += len(true)
        self._losses.append(loss.detach())
        self._predicted.append(predicted.score.detach())
        self._true.append(true)
        if predicted.z is None or predicted.responsibilities is None or predicted.log_likelihood is None:
            return
        self._points.append(predicted.z.detach())
        self._responsibilities.append(predicted.responsibilities.detach())
        self._log_likelihoods.append(predicted.log_likelihood.detach())

    @property
    def points(self) -> Tensor:
        """What the mixture saw, float32 [N, d]: each picture as it was when its turn came."""
        return torch.cat(self._points)

    def clusters(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Means over pictures: of responsibilities [K], of their largest [], of the log-likelihood []."""
        if not self._points:
            return None
        responsibilities = torch.cat(self._responsibilities)
        return responsibilities.mean(0), responsibilities.amax(1).mean(), torch.cat(self._log_likelihoods).mean()

    def close(self) -> tuple[float, dict[str, float | None]]:
        """The mean loss over pictures, and the correlations of what was predicted while training."""
        sizes = torch.tensor([float(len(true)) for true in self._true], device=self._losses[0].device)
        loss = float(torch.stack(self._losses) @ sizes) / self.count
        return loss, correlations(torch.cat(self._predicted), torch.cat(self._true)) if math.isfinite(loss) else {}


def correlations(predicted: Tensor, true: Tensor) -> dict[str, float | None]:
    """SRCC, PLCC, KRCC and RMSE; None where constant scores leave a correlation undefined."""
    a, b = predicted.float().cpu().numpy().astype(np.float64), true.float().cpu().numpy().astype(np.float64)
    values = {name: getattr(metrics, name)(a, b) for name in ("srcc", "plcc", "krcc", "rmse")}
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
