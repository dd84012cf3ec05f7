"""From the name in a config to a backbone: a single timm model, or several whose features stand side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iqa.config import ModelConfig
from iqa.errors import UserError
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.networks import default_image_size

#: Between the names of models that stand side by side.
JOIN = "+"


class SideBySide(nn.Module):
    """Several backbones as one: uint8 pictures [B, 3, H, W] -> float32 features [B, sum of theirs]."""

    def __init__(self, backbones: list[Backbone]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.num_features = sum(backbone.num_features for backbone in backbones)
        self.weights_source = ", ".join(dict.fromkeys(backbone.weights_source for backbone in backbones))

    def forward(self, images: Tensor, share: float = 1.0) -> Tensor:
        return torch.cat([backbone(images, share) for backbone in self.backbones], dim=1)

    @property
    def parts(self) -> list[list[int]]:
        """How many features come from each map, of each backbone at each scale."""
        return [part for backbone in members(self) for part in backbone.parts]

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are exempt from weight decay."""
        return {
            f"backbones.{number}.{name}"
            for number, backbone in enumerate(members(self))
            for name in backbone.no_weight_decay()
        }


AnyBackbone = Backbone | SideBySide


def members(backbone: AnyBackbone) -> list[Backbone]:
    """The single models of a backbone."""
    if isinstance(backbone, Backbone):
        return [backbone]
    return [member for member in backbone.backbones if isinstance(member, Backbone)]


def build_backbone(model: ModelConfig, image_size: int, *, load_weights: bool = True) -> AnyBackbone:
    """The backbone that a model section names.

    Args:
        image_size: side in pixels that it sees at scale 1.
        load_weights: False leaves pretrained weights out, for a state dict that is loaded next.

    Raises:
        UserError: unknown or unusable name, impossible size, no weights, one weights file for several models.
    """
    names = _names(model.backbone)
    if len(names) > 1 and model.weights:
        raise UserError(
            "model.weights names one file for several backbones",
            got=model.backbone,
            fix="leave model.weights out, or name a single backbone",
        )
    built = [
        Backbone(
            name,
            pretrained=model.pretrained and load_weights,
            weights=model.weights,
            stages=model.stages,
            pooling=model.pooling,
            centre_pooling=model.centre_pooling,
            image_size=image_size,
            scales=model.scales,
            frozen_stages=model.frozen_stages,
            freeze_norm=model.freeze_norm,
        )
        for name in names
    ]
    return built[0] if len(built) == 1 else SideBySide(built)


def sensible_image_size(backbone: str, picture_size: int, *, whole: bool) -> int:
    """The input side where the config names none; see `default_image_size`."""
    sides = {default_image_size(name, picture_size, whole=whole) for name in _names(backbone)}
    if len(sides) > 1:
        raise UserError(
            "these backbones see different sizes",
            got=f"{backbone}: {sorted(sides)} px",
            fix="set data.image_size to one that all of them take",
        )
    return sides.pop()


def _names(backbone: str) -> list[str]:
    return [name.strip() for name in backbone.split(JOIN)]
