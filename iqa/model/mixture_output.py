"""What a mixture says of points, of its start by EM, and of its own health."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

_ENCODING_LIMIT = 5.0  # standard deviations; a picture unlike all others must not throw the head off scale


@dataclass(frozen=True)
class MixtureOutput:
    """What the mixture says of B points in d dimensions, with K components; all float32."""

    #: P(component | point) [B, K].
    responsibilities: Tensor
    #: log p(point), in nats [B].
    log_likelihood: Tensor
    #: Sum over components of responsibility times whitened distance to the centre [B, d].
    residual: Tensor
    #: The log-likelihood standardised over the training pictures [B].
    typicality: Tensor
    #: Mean negative log-likelihood per dimension in nats (a density: it may be negative). This and the next train
    #: the mixture itself: gradients go through them alone, and both are 0 before the EM start.
    unlikelihood: Tensor
    #: KL(mean responsibilities of the batch || equal shares) in nats, from 0 to log K.
    imbalance: Tensor

    @property
    def encoding(self) -> Tensor:
        """Responsibilities, residual and typicality side by side [B, K + d + 1]; the last two within +-5."""
        distances = torch.cat([self.residual, self.typicality[:, None]], dim=1)
        bounded = _ENCODING_LIMIT * torch.tanh(distances / _ENCODING_LIMIT)
        return torch.cat([self.responsibilities, bounded], dim=1)


@dataclass(frozen=True)
class EmFit:
    """How the EM start went: mean log-likelihood per point in nats, iterations of the best start."""

    log_likelihood: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class MixtureHealth:
    """Whether the components share the work."""

    #: exp(entropy of the mean responsibilities): 1 when one component takes all, K when all take the same.
    effective_clusters: float
    #: Components whose mean responsibility is below `reseed_below` / K.
    dead_components: int
    #: Mean over pictures of their largest responsibility, 1/K to 1; near 1 the posteriors are saturated.
    largest_responsibility: float
    #: Mean log-likelihood of a picture, in nats.
    log_likelihood: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)
