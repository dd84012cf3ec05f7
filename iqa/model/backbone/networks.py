"""timm's networks: what is known of one by its name, how it is built, and how it is asked for its feature maps."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import timm
from torch import nn

from iqa.errors import UserError, nearest
from iqa.model.backbone.depthwise import quicken

_LONGEST = 80  # characters of a name in a message
_SMALLEST_SIDE = 96  # measured on 32-pixel pictures: a frozen network loses .03 SRCC at 64 and gains nothing at 224


def default_image_size(name: str, picture_size: int, *, whole: bool = False) -> int:
    """A sensible input side in pixels: a transformer's own; else the picture's, from 96 to the native one.

    Args:
        whole: go above the native side for larger pictures, whose detail tells of quality.
    """
    native = native_size(name)
    if pretrained_config(name).get("fixed_input_size"):
        return native
    side = max(_SMALLEST_SIDE, picture_size)
    return side if whole else min(side, native)


def native_size(name: str) -> int:
    """Side in pixels of the pictures that the backbone was pretrained on."""
    return int(pretrained_config(name)["input_size"][-1])


def pretrained_config(name: str) -> dict[str, Any]:
    """timm's facts about a backbone: input_size, mean, std, fixed_input_size, classifier.

    Raises:
        UserError: timm knows no such model.
    """
    if not timm.is_model(name):
        raise UserError(
            f"unknown backbone '{name[:_LONGEST]}'",
            expected="the name of a timm model, such as resnet18",
            fix=_elsewhere(name) or nearest(name, timm.list_models()) or "timm.list_models() lists them",
        )
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # of a tag that this model does not have
        architecture, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(architecture)]
        raise UserError(
            f"backbone '{architecture}' has no weights called '{tag[:_LONGEST]}'",
            expected=", ".join(tags) or "its name without a tag",
            fix=nearest(tag, tags) or f"name it without a tag: {architecture}",
        ) from error
    facts: dict[str, Any] = config.to_dict() if config else {}
    return facts


def _elsewhere(name: str) -> str | None:
    """What to do with the name of a model on a hub that is not one of timm's own."""
    if ":" not in name and "/" not in name:
        return None
    return "name timm's own model of this architecture, and the file of weights in model.weights"


def create(name: str) -> nn.Module:
    """A network of random weights that shows its feature maps.

    Raises:
        UserError: timm's model of this name does not.
    """
    net = timm.create_model(name, pretrained=False, num_classes=0)
    quicken(net)
    if not hasattr(net, "forward_intermediates"):
        raise unusable(name, "does not show its feature maps")
    return net


def unusable(name: str, why: str) -> UserError:
    """The message for a network that exists but cannot be a backbone."""
    return UserError(
        f"backbone '{name}' {why}",
        expected="a timm model whose forward_intermediates gives single maps",
        fix="use for instance resnet18, efficientnet_b0, convnext_tiny, vit_small_patch16_224 or "
        "swin_tiny_patch4_window7_224",
    )


def intermediates(net: Any, stages: Literal["all", "early", "last"]) -> dict[str, Any]:
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
