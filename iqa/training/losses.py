"""What a prediction is punished for: error, lack of correlation, an unlikely or lopsided mixture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from iqa.config import LossConfig

#: Scores run from 0 to 1: errors beyond a tenth of the scale are punished linearly, smaller ones quadratically.
SMOOTH_L1_BETA = 0.1


def correlation_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """1 - PLCC over a batch, in [0, 2].

    Args:
        predicted: scores, shape [B], any real.
        true: scores, shape [B].

    A batch whose scores are all alike has no correlation; the floor makes its loss 1, with a finite gradient.
    """
    predicted = predicted.float() - predicted.float().mean()
    true = true.float() - true.float().mean()
    floor = torch.finfo(torch.float32).eps
    norms = torch.sqrt((predicted.square().sum() + floor) * (true.square().sum() + floor))
    return 1 - (predicted * true).sum() / norms


def quality_loss(predicted: Tensor, true: Tensor, weights: LossConfig) -> Tensor:
    """Weighted smooth L1 (Girshick, ICCV 2015) plus correlation loss of scores [B], a scalar >= 0."""
    error = functional.smooth_l1_loss(predicted.float(), true.float(), beta=SMOOTH_L1_BETA)
    return weights.smooth_l1 * error + weights.correlation * correlation_loss(predicted, true)
