"""What is done to gradients before an optimiser's step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from iqa.training.optimizer import limit_gradient


def with_gradients(scale: float) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (5,), ())]
    for parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    return [*parameters, nn.Parameter(torch.zeros(2))]  # one took no part


def gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 1e4])
def test_long_and_short_gradients_are_limited_as_torch_does(scale: float) -> None:
    ours, theirs = with_gradients(scale), with_gradients(scale)
    limit_gradient(ours, 0.7)
    torch.nn.utils.clip_grad_norm_(theirs, 0.7)
    torch.testing.assert_close(gradients(ours), gradients(theirs))
    assert torch.cat([each.flatten() for each in gradients(ours)]).norm() <= 0.7 + 1e-5


def test_a_gradient_that_is_not_finite_stays_so_and_shows_in_the_next_loss() -> None:
    parameters = with_gradients(1.0)
    parameters[0].grad[0, 0] = float("nan")  # type: ignore[index]
    limit_gradient(parameters, 1.0)
    assert gradients(parameters)[1].isnan().all()


def test_parameters_without_gradients_are_left_alone() -> None:
    parameter = nn.Parameter(torch.ones(2))
    limit_gradient([parameter], 1.0)
    assert parameter.grad is None
