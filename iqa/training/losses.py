"""What a prediction is punished for: error, lack of correlation, an unlikely or lopsided mixture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from iqa.config import LossConfig
from iqa.model.quality import Prediction

#: Scores run from 0 to 1: errors beyond a tenth of the scale are punished linearly, smaller ones quadratically.
SMOOTH_L1_BETA = 0.1
#: Of the centred scores of a batch, their length: scores that are all alike leave rounding, which says nothing.
SMALLEST_SPREAD = 1e-4

#: What a step of training lessens: of a prediction, the true scores [B] on 0-1 and the config's weights, a scalar.
Loss = Callable[[Prediction, Tensor, LossConfig], Tensor]


def correlation_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """1 - PLCC over a batch, in [0, 2], the mean over heads.

    Args:
        predicted: scores, shape [B] or [heads, B], any real.
        true: scores, shape [B].

    A batch whose scores are all alike has no correlation; the floor makes its loss 1, with a finite gradient.
    """
    ours, theirs = (scores.float() - scores.float().mean(dim=-1, keepdim=True) for scores in (predicted, true))
    return 1 - functional.cosine_similarity(ours, theirs, dim=-1, eps=SMALLEST_SPREAD).mean()


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
