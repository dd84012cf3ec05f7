"""A backbone whose BatchNorms are folded away sees what it saw before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from iqa.config import ModelConfig
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.fused import folded
from iqa.model.backbone.several import build_backbone


def pictures(side: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, side, side), generator=torch.manual_seed(1), dtype=torch.uint8)


def norms(backbone: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


def lived(name: str, **options) -> Backbone:
    """A backbone whose BatchNorms have statistics, weights and biases of their own."""
    torch.manual_seed(0)
    backbone = Backbone(name, pretrained=False, image_size=64, **options)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return backbone


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "tf_efficientnet_lite0"])
def test_no_norm_is_left_and_the_features_are_the_same(name: str) -> None:
    backbone = lived(name).double().eval()
    quicker = folded(backbone)
    assert norms(backbone) > norms(quicker) == 0
    with torch.no_grad():
        torch.testing.assert_close(quicker(pictures()), backbone(pictures()))


def test_it_is_folded_where_others_compute_in_low_precision_too() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert norms(folded(lived("tf_efficientnet_lite0").eval())) == 0


def test_the_original_stays_as_it_was() -> None:
    backbone = lived("resnet10t").train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    quicker = folded(backbone)
    assert backbone.training
    assert all(each.requires_grad for each in backbone.parameters())
    assert not quicker.training
    assert not any(each.requires_grad for each in quicker.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_a_network_that_lists_its_layers_in_another_order_is_left_alone() -> None:
    backbone = lived("resnet10t").eval()
    block = backbone.net.layer1[0]
    block._modules["bn1"], block._modules["bn2"] = block._modules["bn2"], block._modules["bn1"]
    kept = dict(block._modules)
    block._modules.clear()
    # It runs conv1, bn1, conv2, bn2, and lists conv1, bn2, conv2, bn1.
    block._modules.update({name: kept[name] for name in ("conv1", "bn2", "act1", "conv2", "bn1", *kept)})
    same = folded(backbone)
    assert norms(same) == norms(backbone)
    with torch.no_grad():
        assert torch.equal(same(pictures()), backbone(pictures()))


def test_what_has_no_norm_to_fold_is_only_copied() -> None:
    backbone = Backbone("vit_tiny_patch16_224", pretrained=False, image_size=64).eval()
    with torch.no_grad():
        assert torch.equal(folded(backbone)(pictures()), backbone(pictures()))


def test_backbones_side_by_side_are_folded_one_by_one() -> None:
    both = build_backbone(ModelConfig(backbone="tf_efficientnet_lite0+resnet18", pretrained=False), 64).eval()
    quicker = folded(both)
    assert norms(quicker) == 0
    with torch.no_grad():
        torch.testing.assert_close(quicker(pictures()), both(pictures()), rtol=1e-3, atol=1e-4)


def test_frozen_stages_are_the_same_too() -> None:
    backbone = lived("resnet18", frozen_stages=2).eval()
    quicker = folded(backbone)
    with torch.no_grad():
        stem, quick = backbone.stem(pictures()), quicker.stem(pictures())
        torch.testing.assert_close(quick.maps, stem.maps, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(quick.features, stem.features, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(quicker.from_stem(quick), backbone.from_stem(stem), rtol=1e-3, atol=1e-4)
