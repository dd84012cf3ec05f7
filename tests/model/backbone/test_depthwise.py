"""Depthwise convolutions in float32: the same network, learning no less precisely."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from iqa.model.backbone.depthwise import quicken

NAMES = ["test_efficientnet", "mobilenetv3_small_050", "tf_efficientnet_lite0"]


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """A network as timm makes it, and a quickened copy."""
    torch.manual_seed(0)
    plain = timm.create_model(name, pretrained=False, num_classes=1).eval()
    quick = copy.deepcopy(plain)
    quicken(quick)
    return plain, quick


def gradient(net: nn.Module, pictures: torch.Tensor, *, mixed: bool) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        loss = net(pictures).float().square().mean()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_weights_keep_their_names_and_float32_its_results(name: str) -> None:
    plain, quick = pair(name)
    pictures = torch.rand(2, 3, 64, 64)
    assert list(plain.state_dict()) == list(quick.state_dict())
    with torch.inference_mode():
        assert torch.equal(plain(pictures), quick(pictures))
    assert torch.equal(gradient(plain, pictures, mixed=False), gradient(copy.deepcopy(quick), pictures, mixed=False))


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_is_no_further_from_float32_than_before(name: str) -> None:
    plain, quick = pair(name)
    ours = theirs = 0.0
    for _ in range(5):
        pictures = torch.rand(8, 3, 64, 64)
        exact = gradient(copy.deepcopy(plain), pictures, mixed=False)
        ours += float((gradient(copy.deepcopy(quick), pictures, mixed=True) - exact).norm())
        theirs += float((gradient(copy.deepcopy(plain), pictures, mixed=True) - exact).norm())
    # Which of two roundings is nearer depends on the processor.
    assert ours <= 1.5 * theirs


def test_only_depthwise_convolutions_are_touched() -> None:
    _, quick = pair("tf_efficientnet_lite0")
    convolutions = [module for module in quick.modules() if isinstance(module, nn.Conv2d)]
    touched = [type(module).__name__.startswith("Float32") for module in convolutions]
    assert touched == [module.groups > 1 for module in convolutions]
    assert any(touched)
    assert not all(touched)
