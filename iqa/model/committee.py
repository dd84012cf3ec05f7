"""What each head of a model sees of the backbone's features: all of them, or those of one backbone at one scale."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

from iqa.config import ModelConfig
from iqa.model.backbone.several import AnyBackbone
from iqa.model.reduction import PartwiseReduction, Reduction


def build_reduction(model: ModelConfig, backbone: AnyBackbone) -> Reduction | None:
    """The reduction of a frozen backbone's features, where the config asks for fewer."""
    if not (model.freeze_backbone and 0 < model.pca_dim < backbone.num_features):
        return None
    if model.part_heads:
        return PartwiseReduction(backbone.parts, model.pca_dim)
    return Reduction(backbone.num_features, model.pca_dim)


def views(model: ModelConfig, backbone: AnyBackbone, reduction: Reduction | None) -> list[slice]:
    """The columns that each head sees of the features, or of what `reduction` makes of them."""
    if reduction is None:
        whole, parts = slice(0, backbone.num_features), _side_by_side(backbone.parts)
    else:
        whole, *parts = _side_by_side(reduction.columns)
    return [whole] * model.heads + [part for part in parts for _ in range(model.part_heads)]


def _side_by_side(widths: Iterable[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]
