"""Which statistics of feature maps make a picture's features, and those that know where the middle is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.pooling import CENTRE_WIDTH, Pooling, centre_mean_std, mean_std


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + 1


def pictures() -> torch.Tensor:
    return torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_positions_count_by_a_gaussian_around_the_centre() -> None:
    values = maps(2, 3, 5, 8)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 8), indexing="ij")
    weights = np.exp(-(rows**2 + columns**2) / (2 * CENTRE_WIDTH**2)).ravel()
    flat = values.double().numpy().reshape(6, 40)
    expected = np.average(flat, axis=1, weights=weights), np.sqrt(np.diag(np.cov(flat, ddof=0, aweights=weights)))
    pooled = centre_mean_std(values)
    assert pooled.dtype == torch.float32
    np.testing.assert_allclose(pooled[:, :3].flatten().numpy(), expected[0], rtol=1e-5)
    np.testing.assert_allclose(pooled[:, 3:].flatten().numpy(), expected[1], rtol=1e-5)


def test_the_middle_counts_more_than_a_corner_which_plain_statistics_cannot_tell() -> None:
    spots = torch.zeros(2, 1, 9, 9)
    spots[0, 0, 4, 4] = spots[1, 0, 0, 0] = 1
    torch.testing.assert_close(*mean_std(spots))
    middle, corner = centre_mean_std(spots)
    assert (middle > 5 * corner).all()


def test_mirror_images_and_maps_of_one_value_or_one_position() -> None:
    values = maps(2, 3, 6, 6)
    torch.testing.assert_close(centre_mean_std(values.flip(3)), centre_mean_std(values))
    torch.testing.assert_close(centre_mean_std(values.flatten(2)), centre_mean_std(values))
    flat = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    pooled = centre_mean_std(flat)
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 3.0, 1e-3, 1e-3]]))
    pooled.sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    torch.testing.assert_close(centre_mean_std(values[:, :, :1, :1])[:, :3], values[:, :, 0, 0])


@pytest.mark.parametrize(
    ("kind", "columns"), [("mean", 5), ("mean_std", 10), ("bilinear", 10 + 15)], ids=["mean", "mean_std", "bilinear"]
)
def test_each_kind_has_its_columns_and_the_centre_two_more_of_each_channel(kind, columns: int) -> None:
    values = [maps(2, 5, 6, 6), maps(2, 5, 3, 3)]
    plain, centred = Pooling(kind), Pooling(kind, centre=True)
    for pool, expected in ((plain, columns), (centred, columns + 10)):
        pool.prepare([5, 5])
        assert pool([each.bfloat16() for each in values]).dtype == torch.float32
        assert pool(values).shape == (2, 2 * expected)
    torch.testing.assert_close(centred(values)[:, :columns], plain(values)[:, :columns])
    torch.testing.assert_close(centred(values)[:, -10:], centre_mean_std(values[1]))
    assert plain.name != centred.name


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "test_efficientnet"])
def test_every_backbone_can_weight_its_maps_to_the_centre(name: str) -> None:
    torch.manual_seed(0)
    backbone = Backbone(name, pretrained=False, image_size=64, centre_pooling=True).eval()
    torch.manual_seed(0)
    plain = Backbone(name, pretrained=False, image_size=64).eval()
    assert backbone.num_features == 2 * plain.num_features
    features = backbone(pictures())
    assert features.isfinite().all()
    torch.testing.assert_close(features[:, :16], plain(pictures())[:, :16])


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "test_efficientnet"])
def test_a_backbone_has_covariances_beside_mean_and_spread(name: str) -> None:
    options = {"pretrained": False, "image_size": 64}
    torch.manual_seed(0)
    plain = Backbone(name, **options).eval()
    torch.manual_seed(0)
    backbone = Backbone(name, pooling="bilinear", **options).eval()
    images = pictures()
    features = backbone(images)
    assert features.shape == (2, backbone.num_features)
    assert backbone.num_features > plain.num_features
    assert features.isfinite().all()
    # Mean and spread of the first map stand first, as without.
    torch.testing.assert_close(features[:, :16], plain(images)[:, :16])
    backbone.train()(images).square().sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in backbone.parameters())


@pytest.mark.parametrize("statistics", [{"pooling": "bilinear"}, {"centre_pooling": True}], ids=["bilinear", "centre"])
def test_a_backbone_behind_frozen_stages_says_the_same(statistics) -> None:
    torch.manual_seed(0)
    backbone = Backbone("resnet10t", pretrained=False, image_size=64, frozen_stages=2, **statistics).eval()
    images = pictures()
    torch.testing.assert_close(backbone.from_stem(backbone.stem(images)), backbone(images), rtol=1e-3, atol=1e-4)
