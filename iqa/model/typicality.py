"""How unlike the training pictures a picture looks, by what the backbone's first feature maps show of it.

Late maps tell what is in a picture, and say of any photograph that it is one; early ones tell of grain, edges and
colours, which a drawing, an enlarged thumbnail or a damaged picture has in other proportions. The distance is
Mahalanobis' in their pooled statistics (Lee et al., A simple unified framework for detecting out-of-distribution
samples, NeurIPS 2018, take late maps too), with a covariance that is shrunk towards a sphere (Ledoit and Wolf, Journal
of Multivariate Analysis 88, 2004), so that few pictures are enough.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from iqa.errors import IqaError
from iqa.model.backbone import AnyBackbone
from iqa.model.backbone.several import members

#: How many of the backbone's pooled maps, from the first, are looked at.
MAPS = 2


class EarlyDistance(nn.Module):
    """Pooled features [B, D] -> squared Mahalanobis distance from the training pictures, float32 [B].

    Args:
        columns: int64 [E], which features are looked at.
        centre: [E], their mean.
        whitening: [E, E], from differences to the mean to numbers of variance 1.
    """

    columns: Tensor
    centre: Tensor
    whitening: Tensor

    def __init__(self, columns: Tensor, centre: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.register_buffer("centre", centre)
        self.register_buffer("whitening", whitening)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.of_early(features.float().index_select(1, self.columns))

    def of_early(self, early: Tensor) -> Tensor:
        """The same from the columns alone, float32 [B, E]."""
        return ((early - self.centre) @ self.whitening).square().sum(dim=1)

    @classmethod
    def fit(cls, columns: Tensor, early: Tensor) -> EarlyDistance:
        """Find centre and covariance of training pictures' features [N, E].

        Raises:
            IqaError: features that are no numbers.
        """
        values = early.double().cpu()
        if not bool(values.isfinite().all()):
            raise IqaError("features of training pictures are not finite", fix="lower training.learning_rate")
        centre, spread = values.mean(dim=0), values.std(dim=0, correction=0)
        # What never varies says nothing, and would make every difference an infinite one.
        varies = spread > 1e-6 * values.abs().amax(dim=0)
        scale = torch.where(varies, 1 / spread.clamp(min=1e-30), torch.zeros_like(spread))
        covariance = torch.from_numpy(ledoit_wolf(((values - centre) * scale).numpy(), assume_centered=True)[0])
        variances, directions = torch.linalg.eigh(covariance)
        roots = torch.where(variances > 1e-9, variances.clamp(min=1e-9).rsqrt(), torch.zeros_like(variances))
        return cls(columns, centre.float(), (scale[:, None] * directions * roots).float())

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: buffer.cpu() for name, buffer in self.named_buffers()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EarlyDistance:
        """Out of a checkpoint."""
        return cls(values["columns"], values["centre"], values["whitening"])


def early_columns(backbone: AnyBackbone) -> Tensor:
    """int64 [E]: the features that come from the first MAPS maps, at every scale; of several backbones the first's."""
    first = members(backbone)[0]
    found, start = [], 0
    for part in first.parts:  # one at each scale
        found.append(torch.arange(start, start + sum(part[:MAPS])))
        start += sum(part)
    return torch.cat(found)
