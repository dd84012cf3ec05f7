"""The losses judge what they claim to judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from iqa.config import LossConfig
from iqa.training.losses import SMOOTH_L1_BETA, correlation_loss, quality_loss


@given(seed=st.integers(0, 1000))
def test_correlation_loss_is_one_minus_scipys_pearson(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.random((2, 40))
    expected = 1 - pearsonr(a, b).statistic
    assert correlation_loss(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(expected, abs=1e-4)


@given(scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_correlation_loss_ignores_scale_and_shift(scale: float, shift: float) -> None:
    true = torch.linspace(0, 1, 20)
    assert correlation_loss(true * scale + shift, true).item() == pytest.approx(0, abs=1e-3)
    assert correlation_loss(-true * scale + shift, true).item() == pytest.approx(2, abs=1e-3)


def test_gradient_of_the_correlation_loss_is_that_of_pearsons_formula() -> None:
    true, predicted = torch.rand(30), torch.rand(2, 30, requires_grad=True)
    loss = correlation_loss(predicted, true)
    each = [1 - torch.corrcoef(torch.stack([head, true]))[0, 1] for head in predicted]
    plain = torch.stack(each).mean()
    torch.testing.assert_close(loss, plain, atol=1e-5, rtol=1e-4)
    ours, expected = (torch.autograd.grad(value, predicted)[0] for value in (loss, plain))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-3)


def test_heads_are_judged_one_by_one() -> None:
    true, heads = torch.rand(16), torch.rand(3, 16)
    apart = torch.stack([quality_loss(head, true, LossConfig()) for head in heads]).mean()
    torch.testing.assert_close(quality_loss(heads, true, LossConfig()), apart)


def test_scores_that_are_all_alike_give_a_finite_gradient() -> None:
    predicted = torch.full((8,), 0.5, requires_grad=True)
    loss = correlation_loss(predicted, torch.linspace(0, 1, 8))
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-3)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_small_errors_are_punished_quadratically_and_large_ones_linearly() -> None:
    weights = LossConfig(smooth_l1=1, correlation=0)

    def loss(error: float) -> float:
        return quality_loss(torch.tensor([0.2 + error]), torch.tensor([0.2]), weights).item()

    small, large = SMOOTH_L1_BETA / 4, SMOOTH_L1_BETA * 4
    assert loss(2 * small) == pytest.approx(4 * loss(small), rel=1e-4)
    assert loss(large + 0.1) - loss(large) == pytest.approx(0.1, rel=1e-4)


def test_half_precision_predictions_are_judged_in_full_precision() -> None:
    true = torch.rand(16)
    loss = quality_loss(true.to(torch.bfloat16), true, LossConfig())
    assert loss.dtype is torch.float32
