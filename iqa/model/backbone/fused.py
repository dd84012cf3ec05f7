"""BatchNorm folded into the convolution before it: a pass less over every map, the same features but for rounding."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.several import AnyBackbone, SideBySide, members

#: Of the features' length, how far rounding may take them; a wrong fold takes them as far as they are long.
_ROUNDING = 0.01


def folded(backbone: AnyBackbone) -> AnyBackbone:
    """A copy that only looks at pictures, in evaluation for good: its BatchNorms are part of its convolutions.

    A third quicker for an EfficientNet on a CPU. Which BatchNorm follows which convolution is taken from the order in
    which a network lists them, and tried on a picture of noise: where that is another order than it runs them in, the
    copy is left as it was.
    """
    copies = [_folded(member) for member in members(backbone)]
    return copies[0] if isinstance(backbone, Backbone) else SideBySide(copies)


def _folded(backbone: Backbone) -> Backbone:
    plain = copy.deepcopy(backbone).requires_grad_(False).eval()
    other = copy.deepcopy(plain)
    for module in list(other.net.modules()):
        for (name, layer), (next_name, following) in pairwise(list(module.named_children())):
            if _fits(layer, following):
                setattr(module, name, fuse_conv_bn_eval(layer, following))
                setattr(module, next_name, _beyond(following))
    return other if _alike(plain, other) else plain


def _fits(layer: nn.Module, following: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and isinstance(following, nn.BatchNorm2d)
        and following.running_mean is not None
        and layer.out_channels == following.num_features
    )


def _beyond(norm: nn.Module) -> nn.Module:
    """What timm's BatchNormAct2d does besides normalising; nothing for a plain BatchNorm."""
    return nn.Sequential(*(getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)))


@torch.inference_mode()
def _alike(plain: Backbone, other: Backbone) -> bool:
    random = torch.Generator().manual_seed(0)
    side = plain.sides[0]
    noise = torch.randint(256, (1, 3, side, side), dtype=torch.uint8, generator=random).to(plain.mean.device)
    # In full precision, whatever the caller computes in: bfloat16 rounds by more than a wrong fold may change.
    with torch.autocast(noise.device.type, enabled=False):
        expected = plain(noise)
        return bool((other(noise) - expected).norm() <= _ROUNDING * expected.norm())
