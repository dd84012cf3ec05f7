"""Backbones side by side, and one backbone at several scales: their features stand next to each other."""

from __future__ import annotations

import pytest
import torch

from iqa.config import ModelConfig
from iqa.errors import UserError
from iqa.model.backbone.several import build_backbone, members, sensible_image_size

SMALL = {"backbone": "test_resnet", "pretrained": False}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_of_several_scales_stand_side_by_side(images: torch.Tensor) -> None:
    both = build_backbone(ModelConfig(**SMALL, scales=(1.0, 0.5)), 64).eval()
    for scale, part in zip((64, 32), both(images).chunk(2, dim=1), strict=True):
        single = build_backbone(ModelConfig(**SMALL), scale).eval()
        single.load_state_dict(both.state_dict())
        torch.testing.assert_close(part, single(images))


def test_features_of_several_backbones_stand_side_by_side(images: torch.Tensor) -> None:
    both = build_backbone(ModelConfig(backbone="test_resnet + test_efficientnet", pretrained=False), 64).eval()
    parts = [member(images) for member in members(both)]
    assert [member.name for member in members(both)] == ["test_resnet", "test_efficientnet"]
    torch.testing.assert_close(both(images), torch.cat(parts, dim=1))
    assert both.num_features == sum(part.shape[1] for part in parts)


def test_a_transformer_sees_one_size_only() -> None:
    with pytest.raises(UserError, match=r"model\.scales"):
        build_backbone(ModelConfig(backbone="test_vit", pretrained=False, scales=(1.0, 0.5)), 160)


def test_one_file_is_no_weights_of_two_backbones() -> None:
    with pytest.raises(UserError, match=r"model\.weights"):
        build_backbone(ModelConfig(backbone="test_resnet+test_vit", pretrained=False, weights="some.pth"), 64)


def test_scored_pictures_are_seen_whole_and_others_at_most_at_the_native_size() -> None:
    assert sensible_image_size("resnet18", 512, whole=True) == 512
    assert sensible_image_size("resnet18", 512, whole=False) == 224
    assert sensible_image_size("vit_small_patch16_224", 512, whole=True) == 224
    with pytest.raises(UserError, match=r"data\.image_size"):
        sensible_image_size("resnet18+vit_small_patch16_224", 512, whole=True)
