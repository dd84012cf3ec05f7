"""A network in two parts: its first stages, which stay as they are, and what follows them.

A picture passes the first part once, its maps are kept, and training starts behind them. What is taken from the whole
network and what is taken from its parts is the same.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from iqa.errors import UserError

#: What stands before the first stage, in order, and where the stages are: EfficientNet and MobileNet, then ResNet.
_BLOCKS = ("conv_stem", "bn1")
_LAYERS = ("conv1", "bn1", "act1", "maxpool")


@dataclass(frozen=True)
class Stem:
    """What a backbone's frozen stages make of B pictures."""

    #: Feature maps that the next stage sees [B, C, H, W].
    maps: Tensor
    #: Pooled features of these stages, float32 [B, D].
    features: Tensor


class FrozenStages:
    """The first stages of a network, which stay as they are, and what follows them.

    Args:
        net: a ResNet, EfficientNet or MobileNet of timm's; its first `stages` are frozen.
        stages: how many.
        arguments: of its forward_intermediates, as its backbone asks for maps.

    Attributes:
        names: of the modules that a picture passes in them.
        early: maps that are pooled within them.

    Raises:
        UserError: a network of another kind, or no stage would be left to train.
    """

    def __init__(self, net: Any, stages: int, arguments: dict[str, Any]) -> None:
        self.names = _first_modules(net, stages)
        self._net, self._rest = net, _without(net, self.names)
        for name in self.names:
            net.get_submodule(name).requires_grad_(False)
        indices = arguments["indices"]
        # timm counts what comes before an EfficientNet's blocks, which is not pooled.
        first = int(indices[0]) if indices else 0
        before = 0 if indices else len(net.feature_info) - len(stages_of(net)[1])
        self.early = before + stages
        self._arguments = arguments
        self._wanted = dict(arguments, indices=list(range(first, first + self.early)))

    def hold(self) -> None:
        """Keep them in evaluation, whatever the rest is in."""
        for name in self.names:
            self._net.get_submodule(name).eval()

    def run(self, pixels: Tensor) -> list[Tensor]:
        """Their maps of normalised pictures [B, 3, H, W]; the last is what the next stage sees."""
        maps = self._net.forward_intermediates(pixels, **self._wanted, intermediates_only=True, stop_early=True)
        return list(maps)

    def go_on(self, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The final map and all maps, from the last of what `run` gave."""
        final, stages = self._rest.forward_intermediates(maps, **self._arguments)
        return final, list(stages)


def stages_of(net: Any) -> tuple[list[str], list[str]]:
    """Names of the modules before the first stage, and of the stages, in the order that a picture passes them.

    Raises:
        UserError: a network of another kind.
    """
    if hasattr(net, "conv_stem") and hasattr(net, "blocks"):
        return list(_BLOCKS), [f"blocks.{number}" for number in range(len(net.blocks))]
    if hasattr(net, "maxpool") and hasattr(net, "layer4"):
        return list(_LAYERS), [f"layer{number}" for number in (1, 2, 3, 4)]
    raise UserError(
        "this backbone cannot be trained behind its first stages",
        got=type(net).__name__,
        expected="a ResNet, EfficientNet or MobileNet",
        fix="set model.frozen_stages to 0",
    )


def _first_modules(net: Any, stages: int) -> list[str]:
    """Names of the modules that a picture passes up to stage number `stages`.

    Raises:
        UserError: no stage would be left to train.
    """
    before, names = stages_of(net)
    if stages >= len(names):
        raise UserError(
            "model.frozen_stages leaves no stage to train",
            got=stages,
            expected=f"at most {len(names) - 1}",
            fix="lower it, or set model.freeze_backbone to true",
        )
    return [*before, *names[:stages]]


def _without(net: Any, names: list[str]) -> Any:
    """`net` with the modules of these names doing nothing; all others are shared with it."""
    rest = _twin(net)
    for name in names:
        parent, _, last = name.rpartition(".")
        if parent and getattr(rest, parent) is getattr(net, parent):
            rest._modules[parent] = _twin(getattr(net, parent))
        (getattr(rest, parent) if parent else rest)._modules[last] = nn.Identity()
    return rest


def _twin(module: Any) -> Any:
    """A module of the same parts, whose parts can be exchanged."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
