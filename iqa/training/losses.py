"""What a prediction is punished for: error, lack of correlation, an unlikely or lopsided mixture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from iqa.config import LossConfig
from iqa.model.quality import Prediction

#: Scores run from 0 to 1: errors beyond a tenth of the scale are punished linearly, smaller ones quadratically.
SMOOTH_L1_BETA = 0.1


def correlation_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """1 - PLCC over a batch, in [0, 2], the mean over heads.

    Args:
        predicted: scores, shape [B] or [heads, B], any real.
        true: scores, shape [B].

    A batch whose scores are all alike has no correlation; the floor makes its loss 1, with a finite gradient.
    """
    correlations: Tensor = _Correlation.apply(predicted.float(), true.float())
    return 1 - correlations.mean()


def quality_loss(predicted: Tensor, true: Tensor, weights: LossConfig) -> Tensor:
    """Weighted smooth L1 (Girshick, ICCV 2015) plus correlation loss of scores [B] or [heads, B], a scalar >= 0."""
    error = functional.smooth_l1_loss(predicted.float(), true.float().expand_as(predicted), beta=SMOOTH_L1_BETA)
    return weights.smooth_l1 * error + weights.correlation * correlation_loss(predicted, true)


def training_loss(prediction: Prediction, true: Tensor, weights: LossConfig) -> Tensor:
    """What a step of training lessens: the loss of every head, and of the mixture, if there is one."""
    loss = quality_loss(prediction.by_head, true, weights)
    if prediction.unlikelihood is None or prediction.imbalance is None:
        return loss
    return loss + weights.cluster_loss * prediction.unlikelihood + weights.balance_loss * prediction.imbalance


class _Correlation(torch.autograd.Function):
    """PLCC along the last dimension, with its gradient in closed form: a few operations in place of thirty."""

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, true: Tensor) -> Tensor:
        floor = torch.finfo(torch.float32).eps
        predicted = predicted - predicted.mean(dim=-1, keepdim=True)
        true = true - true.mean(dim=-1, keepdim=True)
        spread = predicted.square().sum(dim=-1, keepdim=True).add_(floor)
        other = true.square().sum(dim=-1, keepdim=True).add_(floor)
        scaled = true / (spread * other).sqrt_()
        correlation = (predicted * scaled).sum(dim=-1, keepdim=True)
        ctx.save_for_backward(predicted, scaled, correlation / spread)
        return correlation.squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_correlation: Tensor) -> tuple[Tensor, None]:
        """With centred p and t: d r / d p = t / (|p| |t|) - r p / |p|^2, whose mean is 0 as theirs is."""
        predicted, scaled, share = ctx.saved_tensors
        return torch.addcmul(scaled, predicted, share, value=-1).mul_(by_correlation[..., None]), None
