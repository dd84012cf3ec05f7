"""What an optimiser steps on: groups of parameters."""

from __future__ import annotations

import pytest

from iqa.config import ModelConfig
from iqa.model.quality import QualityModel
from iqa.training.optimizer import parameter_groups


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
