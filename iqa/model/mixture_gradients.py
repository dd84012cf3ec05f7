"""Densities of a mixture, what follows from them and what trains it, with gradients in closed form.

Step by step, autograd spent more time on these few numbers than on the head.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Posteriors(NamedTuple):
    """What follows from joint log densities [B, K]; gradients go through the last two alone."""

    #: P(component | point) [B, K].
    responsibilities: Tensor
    #: log p(point), in nats [B].
    log_likelihood: Tensor
    #: Mean negative log-likelihood, in nats.
    unlikelihood: Tensor
    #: KL(mean responsibilities || equal shares), in nats.
    imbalance: Tensor


def diagonal_densities(
    z: Tensor, weight_logits: Tensor, means: Tensor, log_excess: Tensor, min_variance: float
) -> tuple[Tensor, Tensor]:
    """Points z [B, d] under K Gaussians of variance `min_variance` + exp(`log_excess`) [K, d].

    Returns:
        Distances to every centre in units of its spread [B, K, d], without gradient, and log P(component, point)
        [B, K], whose gradient goes to the mixture and not to the points.
    """
    both: tuple[Tensor, Tensor] = _Diagonal.apply(z, weight_logits, means, log_excess, min_variance)
    return both


def posteriors(joint: Tensor, fitted: Tensor) -> Posteriors:
    """Responsibilities, likelihood and losses of log P(component, point) [B, K].

    Both losses are 0 unless `fitted`, a boolean of no dimensions, is true.
    """
    return Posteriors(*_Posteriors.apply(joint, fitted))


class _Diagonal(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight_logits: Tensor, means: Tensor, log_excess: Tensor, min_variance: float
    ) -> tuple[Tensor, Tensor]:
        excess = log_excess.exp()
        variance = excess + min_variance
        precision = variance.rsqrt()
        whitened = (z[:, None, :] - means).mul_(precision)
        log_weights = torch.log_softmax(weight_logits, dim=0)
        constant = variance.log().sum(dim=1).add_(z.shape[1] * math.log(2 * math.pi))
        joint = (log_weights - 0.5 * constant).sub(whitened.square().sum(dim=2), alpha=0.5)
        ctx.save_for_backward(whitened, log_weights, precision, excess)
        ctx.mark_non_differentiable(whitened)
        return whitened, joint

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, by_joint: Tensor) -> tuple[Tensor | None, ...]:
        """With whitened distances w, precisions p (roots) and excess variances e:
        d joint_k / d mean_k = w p, d joint_k / d log e_k = (w^2 - 1) e p^2 / 2.
        """
        whitened, log_weights, precision, excess = ctx.saved_tensors
        weighted = by_joint[:, :, None] * whitened
        total = by_joint.sum(dim=0)
        by_weights = total - log_weights.exp() * total.sum()
        by_means = weighted.sum(dim=0) * precision
        spread = weighted.mul_(whitened).sum(dim=0).sub_(total[:, None])
        return None, by_weights, by_means, spread.mul_(excess * precision.square()).mul_(0.5), None


class _Posteriors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joint: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        log_responsibilities = torch.log_softmax(joint, dim=1)
        responsibilities = log_responsibilities.exp()
        # The same for every component; weighted so, those that would lose digits do not count.
        log_likelihood = torch.linalg.vecdot(responsibilities, joint - log_responsibilities)
        shares = responsibilities.mean(dim=0)
        ctx.save_for_backward(responsibilities, shares, fitted)
        ctx.mark_non_differentiable(responsibilities, log_likelihood)
        divergence = torch.xlogy(shares, shares).sum() + math.log(joint.shape[1])
        return responsibilities, log_likelihood, -log_likelihood.mean() * fitted, divergence.clamp_(min=0) * fitted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, __: Tensor, by_unlikelihood: Tensor, by_imbalance: Tensor) -> tuple[Tensor, None]:
        """With responsibilities r and their means s: d/d joint_ik is -r_ik / B for the first loss, and
        r_ik (log s_k - sum_j r_ij log s_j) / B for the second.
        """
        responsibilities, shares, fitted = ctx.saved_tensors
        log_shares = shares.clamp(min=torch.finfo(shares.dtype).tiny).log_()
        lopsided = log_shares - torch.mv(responsibilities, log_shares)[:, None]
        slope = (by_imbalance * lopsided - by_unlikelihood).mul_(fitted / len(responsibilities))
        return slope.mul_(responsibilities), None
