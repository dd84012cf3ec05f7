"""What timm knows of a backbone before it is built: the size of its pictures, and how they are normalised."""

from __future__ import annotations

from typing import Any

import timm

from iqa.errors import UserError, nearest

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
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        raise UserError(
            f"unknown backbone '{name}'",
            expected="the name of a timm model, such as resnet18",
            fix=nearest(name, timm.list_models()) or "timm.list_models() lists them",
        )
    facts: dict[str, Any] = config.to_dict()
    return facts
