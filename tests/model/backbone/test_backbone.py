"""Features of pictures: any backbone, any size, gradients and precision."""

from __future__ import annotations

import pytest
import torch

from iqa.errors import UserError
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.networks import default_image_size

SHOWN = {
    "resnet18": 2 * (64 + 64 + 128 + 256 + 512),
    "resnet34": 2 * (64 + 64 + 128 + 256 + 512),
    "resnet50": 2 * (64 + 256 + 512 + 1024 + 2048),
    "efficientnet_b0": 2 * (16 + 24 + 40 + 80 + 112 + 192 + 320 + 1280),
    "vit_small_patch16_224": 2 * 4 * 384,
    "swin_tiny_patch4_window7_224": 2 * (96 + 192 + 384 + 768),
    "tf_efficientnet_lite0": 2 * (16 + 24 + 40 + 80 + 112 + 192 + 320 + 1280),
}


def pictures(number: int = 2, side: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, side, side), generator=torch.manual_seed(0), dtype=torch.uint8)


def small(**options) -> Backbone:
    torch.manual_seed(0)
    return Backbone("resnet10t", **{"pretrained": False, "image_size": 64, **options})


@pytest.mark.parametrize("name", SHOWN)
def test_every_shown_backbone_gives_features_and_gradients(name):
    backbone = Backbone(name, pretrained=False, image_size=64)
    features = backbone(pictures())
    assert features.shape == (2, backbone.num_features) == (2, SHOWN[name])
    assert features.dtype == torch.float32
    features.square().mean().backward()
    for parameter_name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} takes no part"
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize(
    ("name", "mean"), [("resnet18", [0.485, 0.456, 0.406]), ("tf_efficientnet_lite0", [0.5, 0.5, 0.5])]
)
def test_each_backbone_has_its_own_normalisation(name, mean):
    backbone = Backbone(name, pretrained=False, image_size=64)
    white = backbone.prepare(torch.full((1, 3, 64, 64), 255, dtype=torch.uint8), 64)
    torch.testing.assert_close(backbone.mean.flatten(), torch.tensor(mean))
    torch.testing.assert_close(white[0, :, 0, 0], ((1 - backbone.mean) / backbone.std).flatten())


@pytest.mark.parametrize("stages", ["all", "last"])
def test_standard_deviations_follow_the_means_of_each_map(stages):
    both = small(stages=stages, pooling="mean_std").eval()
    means = small(stages=stages, pooling="mean").eval()
    means.load_state_dict(both.state_dict())
    assert both.num_features == 2 * means.num_features
    last = 512
    torch.testing.assert_close(both(pictures())[:, -2 * last : -last], means(pictures())[:, -last:])
    assert (both(pictures())[:, -last:] > 0).all()


def test_last_stage_is_the_end_of_all_stages():
    everything, last = small(stages="all").eval(), small(stages="last").eval()
    last.load_state_dict(everything.state_dict())
    torch.testing.assert_close(everything(pictures())[:, -last.num_features :], last(pictures()))


def test_pictures_of_other_sizes_are_resized():
    backbone = small(image_size=64).eval()
    flat = torch.full((1, 3, 150, 100), 90, dtype=torch.uint8)
    torch.testing.assert_close(backbone(flat), backbone(flat[..., :64, :64]))
    assert backbone.prepare(pictures(side=32), 64).shape == (2, 3, 64, 64)


def test_a_picture_s_features_do_not_depend_on_its_neighbours():
    backbone = small().eval()
    torch.testing.assert_close(backbone(pictures(3))[:1], backbone(pictures(3)[:1]), atol=1e-5, rtol=1e-4)


def test_a_flat_picture_has_a_finite_gradient():
    backbone = small()
    backbone(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())


def test_features_are_float32_under_autocast_and_in_channels_last():
    backbone = small().eval()
    exact = backbone(pictures())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = backbone.to(memory_format=torch.channels_last)(pictures())
    assert rough.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.99
    torch.testing.assert_close(backbone(pictures()), exact, atol=1e-4, rtol=1e-3)


def test_a_state_dict_brings_everything_that_features_depend_on():
    trained = small().train()
    trained(pictures(4))  # moves the batch statistics
    trained.mean += 0.1
    loaded = small()
    loaded.load_state_dict(trained.state_dict())
    torch.testing.assert_close(loaded.eval()(pictures()), trained.eval()(pictures()))


def test_default_size_follows_the_picture_up_to_the_native_size():
    assert [default_image_size("resnet18", side) for side in (32, 100, 512)] == [96, 100, 224]
    assert [default_image_size("vit_small_patch16_224", side) for side in (32, 512)] == [224, 224]
    assert default_image_size("swin_tiny_patch4_window7_224", 32) == 224


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"unknown backbone 'resnet81'[\s\S]*did you mean 'resnet"):
        Backbone("resnet81", pretrained=False, image_size=64)


def test_an_impossible_size_says_what_would_do():
    with pytest.raises(UserError, match=r"does not take pictures of 8 px[\s\S]*data.image_size"):
        Backbone("vit_small_patch16_224", pretrained=False, image_size=8)
