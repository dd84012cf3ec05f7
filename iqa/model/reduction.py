"""A frozen backbone's many features in few principal components, and what each head of a model sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from iqa.config import ModelConfig
from iqa.model.backbone import AnyBackbone
from iqa.model.standardise import NormaliseParts

#: Up to so many pictures, if they are fewer than the features, the components come from the pictures' products.
_EXACT = 4096
#: Rounds of the randomised decomposition of more: the small components need more than the large ones.
_ROUNDS = 4


class Reduction(nn.Module):
    """Features [B, D] -> float32 [B, dim]: each picture's features normalised, then projected on principal components.

    The components keep their own variances (no whitening), and all are scaled by one number, so that together they
    have variance 1. Until `fit` the directions are random. They are held in float16: half the size, and components
    that differ by a hundredth of a per cent.

    Args:
        widths: columns of what is normalised by itself, in order; together D.
        dim: components; those that the pictures cannot fill stay zero.

    Attributes:
        columns: of what `forward` returns: dim, and whatever stands beside it.
    """

    centre: Tensor
    directions: Tensor
    fitted: Tensor

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        num_features = sum(widths)
        self.columns = [dim]
        self._normalise = NormaliseParts(widths)
        self.register_buffer("centre", torch.zeros(num_features))
        self.register_buffer("directions", (torch.randn(num_features, dim) / num_features**0.5).half())
        self.register_buffer("fitted", torch.tensor(False))

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            reduced: Tensor = (self._normalise(features) - self.centre) @ self.directions.float()
            return reduced

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Find the components of training pictures' features [N, D].

        The same features give the same components, whatever was drawn before.
        """
        normalised = self._normalise(features)
        self.centre.copy_(normalised.mean(dim=0))
        kept = min(self.directions.shape[1], *normalised.shape)
        find = _by_products if len(features) <= min(_EXACT, features.shape[1]) else _by_sampling
        strengths, directions = find(normalised.sub_(self.centre), kept)
        spread = strengths.square().sum().div(len(features) * kept).sqrt()
        self.directions.zero_()
        self.directions[:, :kept] = directions / spread.clamp(min=torch.finfo(torch.float32).eps)
        self.fitted.fill_(True)


class PartwiseReduction(Reduction):
    """The same, and beside it components of each part of the features by itself: float32 [B, dim + those of parts].

    Args:
        widths: columns of what is normalised by itself in the whole, in order; together D.
        parts: the same in each part.
        dim: components of the whole; a part has half as many.
    """

    def __init__(self, widths: Sequence[int], parts: Sequence[Sequence[int]], dim: int) -> None:
        super().__init__(widths, dim)
        self._widths = [sum(part) for part in parts]
        own = [max(1, min(width, dim // 2)) for width in self._widths]
        self.parts = nn.ModuleList(Reduction(*sizes) for sizes in zip(parts, own, strict=True))
        self.columns = [dim, *own]

    def forward(self, features: Tensor) -> Tensor:
        parts = features.split(self._widths, dim=1)
        own = [part(columns) for part, columns in zip(self.parts, parts, strict=True)]
        return torch.cat([super().forward(features), *own], dim=1)

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        super().fit(features)
        for part, columns in zip(self.parts, features.split(self._widths, dim=1), strict=True):
            cast(Reduction, part).fit(columns)


@dataclass(frozen=True)
class Seen:
    """What a head sees of the features, or of what a reduction makes of them."""

    columns: slice
    #: Columns of what is normalised by itself, in order; empty: a reduction did it.
    widths: list[int]

    @property
    def number(self) -> int:
        """How many columns."""
        return int(self.columns.stop - self.columns.start)


def build_reduction(model: ModelConfig, backbone: AnyBackbone) -> Reduction | None:
    """The reduction of a frozen backbone's features, where the config asks for fewer."""
    if not (model.freeze_backbone and 0 < model.pca_dim < backbone.num_features):
        return None
    whole, parts = _normalised(model, backbone)
    if model.part_heads:
        return PartwiseReduction(whole, parts, model.pca_dim)
    return Reduction(whole, model.pca_dim)


def seen_by_heads(model: ModelConfig, backbone: AnyBackbone, reduction: Reduction | None) -> list[Seen]:
    """What each head sees, the first head's first."""
    if reduction is not None:
        whole, *parts = (Seen(columns, []) for columns in _side_by_side(reduction.columns))
    else:
        widths, widths_of_parts = _normalised(model, backbone)
        whole = Seen(slice(0, backbone.num_features), widths)
        columns_of_parts = _side_by_side(map(sum, backbone.parts))
        parts = [Seen(*each) for each in zip(columns_of_parts, widths_of_parts, strict=True)]
    return [whole] * model.heads + [part for part in parts for _ in range(model.part_heads)]


def _normalised(model: ModelConfig, backbone: AnyBackbone) -> tuple[list[int], list[list[int]]]:
    """Columns of what is normalised by itself: in all features, and in those of each backbone at each scale."""
    parts = backbone.parts
    if model.normalise == "by_map":
        return [width for part in parts for width in part], parts
    return [backbone.num_features], [[sum(part)] for part in parts]


def _side_by_side(widths: Iterable[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]


def _by_products(centred: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The `kept` largest singular values of [N, D] and their directions [D, kept], by the eigenvectors of [N, N].

    Exact, and for many components a fraction of the other way's time; for few it takes somewhat longer.
    """
    squares, mixtures = torch.linalg.eigh(centred @ centred.T)
    directions = functional.normalize(centred.T @ mixtures.flip(1)[:, :kept], dim=0)
    return squares.flip(0)[:kept].clamp(min=0).sqrt(), directions


def _by_sampling(centred: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The same by a randomised decomposition (Halko, Martinsson, Tropp, SIAM Review 53, 2011)."""
    with torch.random.fork_rng(devices=[centred.device] if centred.is_cuda else []):
        torch.manual_seed(0)
        _, strengths, directions = torch.svd_lowrank(centred, q=kept, niter=_ROUNDS)
    return strengths, directions
