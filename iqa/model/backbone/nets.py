"""A timm network, and how its feature maps are asked for."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import timm
from torch import nn

from iqa.errors import UserError
from iqa.model.backbone.depthwise import quicken


def create(name: str) -> nn.Module:
    """A network of random weights that shows its feature maps.

    Raises:
        UserError: timm's model of this name does not.
    """
    net = timm.create_model(name, pretrained=False, num_classes=0)
    quicken(net)
    if not hasattr(net, "forward_intermediates"):
        raise UserError(
            f"backbone '{name}' does not show its feature maps",
            expected="a timm model with forward_intermediates",
            fix="use for instance resnet18, efficientnet_b0, vit_small_patch16_224 or tf_efficientnet_lite0",
        )
    return net


def intermediates(net: Any, stages: Literal["all", "last"]) -> dict[str, Any]:
    """Arguments of forward_intermediates that pick the feature maps."""
    accepted = inspect.signature(net.forward_intermediates).parameters
    if stages == "last":
        return {"indices": 1}
    if "extra_blocks" in accepted:  # EfficientNet and MobileNet: every block, not only one per stride
        return {"indices": list(range(1, len(net.blocks) + 1)), "extra_blocks": True}
    reductions = [info["reduction"] for info in net.feature_info]
    depth = len(reductions)
    if depth >= 8 and len(set(reductions)) == 1:  # a plain transformer: quarters of its depth
        return {"indices": [depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]}
    return {"indices": None}
