"""How unlike the training pictures a picture looks, by what the backbone's middle feature maps show of it.

Late maps tell what is in a picture, and say of any photograph that it is one; the first ones tell little more than its
contrast. Those in between tell of grain, edges, colours and textures, which a drawing, an enlarged thumbnail or a
damaged picture has in other proportions. Their pooled statistics are taken for normally distributed, with a covariance
of some directions and the same variance in all others (probabilistic principal components: Tipping and Bishop, Journal
of the Royal Statistical Society B 61, 1999), so that few pictures are enough; the distance is Mahalanobis'.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from iqa.errors import IqaError
from iqa.model.backbone import AnyBackbone
from iqa.model.backbone.several import members

#: Directions with a variance of their own, at most; and of the pictures' number.
DIRECTIONS, SHARE = 64, 1 / 4
#: Of the variance of features that are all of size 1: what is less is rounding.
LEAST_VARIANCE = 1e-6


class Distance(nn.Module):
    """Pooled features [B, D] -> squared Mahalanobis distance from the training pictures, float32 [B].

    Args:
        columns: int64 [E], which features are looked at.
        centre: [E], their mean.
        scale: [E], what makes their variance 1; 0 for those that never vary.
        directions: [E, k], from differences of scaled features to numbers of variance 1.
        noise: the variance in all other directions.
    """

    columns: Tensor
    centre: Tensor
    scale: Tensor
    directions: Tensor
    noise: Tensor

    def __init__(self, columns: Tensor, centre: Tensor, scale: Tensor, directions: Tensor, noise: Tensor) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)
        self.register_buffer("directions", directions)
        self.register_buffer("noise", noise)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.of_columns(features.float().index_select(1, self.columns))

    def of_columns(self, seen: Tensor) -> Tensor:
        """The same from the columns alone, float32 [B, E]."""
        differences = (seen - self.centre) * self.scale
        along = differences @ self.directions
        # Directions have the length 1 / (standard deviation along them): back to what of the length they explain.
        variances = 1 / self.directions.square().sum(dim=0)
        rest = differences.square().sum(dim=1) - (along.square() * variances).sum(dim=1)
        return along.square().sum(dim=1) + rest.clamp(min=0) / self.noise

    @classmethod
    def fit(cls, columns: Tensor, seen: Tensor) -> Distance:
        """Find centre and covariance of training pictures' features [N, E].

        Raises:
            IqaError: features that are no numbers, or all alike.
        """
        values = seen.double().cpu()
        if not bool(values.isfinite().all()):
            raise IqaError("features of training pictures are not finite", fix="lower training.learning_rate")
        centre, spread = values.mean(dim=0), values.std(dim=0, correction=0)
        # What never varies says nothing, and would make every difference an infinite one.
        varies = spread > 1e-6 * values.abs().amax(dim=0)
        scale = torch.where(varies, 1 / spread.clamp(min=1e-30), torch.zeros_like(spread))
        if varies.sum() < 2:
            raise IqaError("features of training pictures are all alike")
        kept = max(1, min(DIRECTIONS, int(SHARE * len(values)), int(varies.sum()) - 1))
        found = PCA(kept, svd_solver="full").fit(((values - centre) * scale)[:, varies].numpy())
        deviations = torch.from_numpy(found.explained_variance_).clamp(min=LEAST_VARIANCE).sqrt()
        directions = torch.zeros(len(scale), kept, dtype=torch.float64)
        directions[varies] = torch.from_numpy(found.components_.T) / deviations
        noise = torch.tensor(max(float(found.noise_variance_), LEAST_VARIANCE))
        return cls(columns, centre.float(), scale.float(), directions.float(), noise)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: buffer.cpu() for name, buffer in self.named_buffers()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Distance:
        """Out of a checkpoint.

        Raises:
            KeyError, AttributeError, ValueError: they do not fit together.
        """
        columns, centre, scale, directions, noise = (
            values[name] for name in ("columns", "centre", "scale", "directions", "noise")
        )
        shapes = [tuple(each.shape) for each in (columns, centre, scale, noise)]
        if shapes != [(len(centre),)] * 3 + [()] or directions.ndim != 2 or len(directions) != len(centre):
            raise ValueError(f"distances by {', '.join(map(str, shapes))} numbers")
        if columns.dtype != torch.int64 or not all(each.is_floating_point() for each in (centre, scale, directions)):
            raise ValueError("distances by numbers of another type")
        return cls(columns, centre, scale, directions, noise)


def middle_columns(backbone: AnyBackbone) -> Tensor:
    """int64 [E]: the features of the middle maps, from a quarter to five eighths of all, at every scale.

    Of several backbones that stand side by side the first one's.
    """
    found, start = [], 0
    for part in members(backbone)[0].parts:  # one at each scale
        first = len(part) // 4
        last = max(first + 1, len(part) * 5 // 8)
        begin = start + sum(part[:first])
        found.append(torch.arange(begin, begin + sum(part[first:last])))
        start += sum(part)
    return torch.cat(found)
