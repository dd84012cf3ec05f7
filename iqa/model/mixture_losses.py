"""What trains a mixture, with its gradient in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def unlikelihood_and_imbalance(joint: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood, and KL(mean responsibilities || equal shares), of log P(component, point) [B, K].

    Both are in nats, and 0 unless `fitted`, a boolean of no dimensions, is true.
    """
    both: tuple[Tensor, Tensor] = _Losses.apply(joint, fitted)
    return both


class _Losses(torch.autograd.Function):
    """Mean negative log-likelihood and imbalance of joint densities [B, K], with their gradients in closed form: step
    by step autograd spent more on them than on the head.
    """

    @staticmethod
    def forward(ctx: Any, joint: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
        responsibilities = torch.softmax(joint, dim=1)
        shares = responsibilities.mean(dim=0)
        ctx.save_for_backward(responsibilities, shares, fitted)
        divergence = torch.xlogy(shares, shares).sum() + math.log(joint.shape[1])
        return -torch.logsumexp(joint, dim=1).mean() * fitted, divergence.clamp_(min=0) * fitted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_unlikelihood: Tensor, by_imbalance: Tensor) -> tuple[Tensor, None]:
        """With responsibilities r and their means s: d/d joint_ik is -r_ik / B for the first, and
        r_ik (log s_k - sum_j r_ij log s_j) / B for the second.
        """
        responsibilities, shares, fitted = ctx.saved_tensors
        log_shares = shares.clamp(min=torch.finfo(shares.dtype).tiny).log()
        lopsided = log_shares - torch.mv(responsibilities, log_shares)[:, None]
        slope = (by_imbalance * lopsided - by_unlikelihood) * (fitted / len(responsibilities))
        return responsibilities * slope, None
