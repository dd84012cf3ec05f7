"""What an optimiser steps on: groups of parameters, and gradients of a limited length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from iqa.config import ModelConfig
from iqa.model.quality import QualityModel
from iqa.training.optimizer import limit_gradient, parameter_groups


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


def test_parameter_groups_hold_every_trainable_parameter_once():
    small = {"feature_dim": 24, "hidden_dim": 16, "n_clusters": 3, "heads": 2, "mixture": {"dim": 4}}
    model = QualityModel.from_config(ModelConfig(backbone="resnet10t", pretrained=False, **small), image_size=64)
    groups = {
        group["name"]: group
        for group in parameter_groups(model, 1e-3, 0.05, backbone_lr_multiplier=0.1, mixture_lr_multiplier=30)
    }
    grouped = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
    assert groups["backbone"]["lr"] == pytest.approx(1e-4)
    assert groups["head"]["lr"] == 1e-3
    assert groups["mixture"]["lr"] == pytest.approx(0.03)
    assert {name for name, group in groups.items() if group["weight_decay"]} == {"backbone", "head"}
    assert all(parameter.ndim > 1 for name in ("backbone", "head") for parameter in groups[name]["params"])


def test_position_embeddings_take_no_weight_decay():
    model = QualityModel.from_config(ModelConfig(backbone="test_vit", pretrained=False, n_clusters=0), image_size=160)
    groups = {group["name"]: group["params"] for group in parameter_groups(model, 1e-3, 0.05)}
    spared = {id(parameter) for parameter in groups["backbone_no_decay"]}
    assert {id(model.backbone.net.pos_embed), id(model.backbone.net.cls_token)} <= spared
