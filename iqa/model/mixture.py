"""A Gaussian mixture that is started by EM and then trained by gradient, in log space and float32.

Densities, responsibilities and the covariance types are those of `sklearn.mixture.GaussianMixture` (Bishop,
Pattern Recognition and Machine Learning, 2006, section 9.2).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch import Tensor, nn
from torch.nn import functional

from iqa.errors import IqaError, UserError
from iqa.model.em import effective_number, run_em
from iqa.model.standardise import Standardise

_SMALLEST_WEIGHT = 1e-10  # EM may leave a component with no weight at all, which has no logarithm
_SMALLEST_EXCESS = 1e-8  # of a variance over its floor, for the same reason
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


class GaussianMixture(nn.Module):
    """Mixture of K Gaussians in d dimensions.

    Parameters: `weight_logits` [K]; `means` [K, d]; `log_variance` [K, d] for "diag". With "tied" all share
    one covariance L L^T: `log_variance` [d] gives the squared diagonal of L, `lower` [d, d] what is below it.
    Every variance is `min_variance` + exp(log_variance), so none reaches zero. The buffer `fitted` tells
    whether EM has started the mixture; until then it is a single standard normal, K times over.

    Args:
        n_components: K, at least 1.
        dim: d.
        covariance: "diag" or "tied".
        min_variance: floor under every variance.
        reseed_below: share of 1 / K under which a component's mean responsibility counts as dead.
    """

    fitted: Tensor

    def __init__(
        self,
        n_components: int,
        dim: int,
        *,
        covariance: Literal["diag", "tied"] = "diag",
        min_variance: float = 1e-3,
        reseed_below: float = 0.1,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        self.dim = dim
        self.covariance: Literal["diag", "tied"] = covariance
        self.min_variance = min_variance
        self.reseed_below = reseed_below
        shape = (n_components, dim) if covariance == "diag" else (dim,)
        self.weight_logits = nn.Parameter(torch.zeros(n_components))
        self.means = nn.Parameter(torch.zeros(n_components, dim))
        self.log_variance = nn.Parameter(torch.full(shape, self._excess_log(torch.ones(())).item()))
        self.lower = nn.Parameter(torch.zeros(dim, dim)) if covariance == "tied" else None
        self.standardise_likelihood = Standardise(1)
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def encoding_size(self) -> int:
        """Columns of `MixtureOutput.encoding`."""
        return self.n_components + self.dim + 1

    def forward(self, z: Tensor) -> MixtureOutput:
        """What the mixture says of points z [B, d]; no gradient goes back to them.

        In training it also updates the scale of typicality.
        """
        with torch.autocast(z.device.type, enabled=False):
            whitened, joint = self._whiten_and_join(z.detach().float())
            responsibilities = torch.softmax(joint, dim=1)
            log_likelihood = torch.logsumexp(joint, dim=1)
            unlikelihood = -log_likelihood.mean() / self.dim
            imbalance = self._imbalance(responsibilities)
            # Its own losses alone teach the mixture: what others are told of it carries no gradient.
            responsibilities, log_likelihood = responsibilities.detach(), log_likelihood.detach()
            residual = torch.einsum("bk,bkd->bd", responsibilities, whitened.detach())
            typicality = self.standardise_likelihood(log_likelihood[:, None]).squeeze(1)
            losses = unlikelihood * self.fitted, imbalance * self.fitted
            return MixtureOutput(responsibilities, log_likelihood, residual, typicality, *losses)

    def log_prob(self, z: Tensor) -> Tensor:
        """log weight_k + log N(z | component k), float32 [B, K], for z [B, d]; no gradient goes back to z."""
        with torch.autocast(z.device.type, enabled=False):
            return self._whiten_and_join(z.detach().float())[1]

    @torch.no_grad()
    def fit_em(
        self,
        z: Tensor | np.ndarray,
        *,
        seed: int = 0,
        n_init: int = 4,
        reg_covar: float = 1e-3,
        max_iter: int = 100,
    ) -> EmFit:
        """Start the mixture by expectation-maximisation (scikit-learn, from k-means) over z [N, d].

        A warning is logged where the points do not support so many components.

        Raises:
            UserError: more components than points.
            IqaError: the points are not finite, or EM found no valid covariance.
        """
        points = torch.as_tensor(z).detach().cpu().double().numpy()
        self._check_points(points)
        em = run_em(
            points,
            self.n_components,
            self.covariance,
            seed=seed,
            n_init=n_init,
            reg_covar=reg_covar,
            max_iter=max_iter,
        )
        self._copy(em)
        device_points = torch.as_tensor(points, dtype=torch.float32, device=self.means.device)
        log_likelihood = torch.logsumexp(self.log_prob(device_points), dim=1)
        self.standardise_likelihood.fit(log_likelihood[:, None])
        self.fitted.fill_(True)
        return EmFit(float(log_likelihood.mean()), int(em.n_iter_), bool(em.converged_))

    @torch.no_grad()
    def health(self, mean_responsibilities: Tensor, mean_largest: Tensor, mean_log_likelihood: Tensor) -> MixtureHealth:
        """Health from means over pictures: of responsibilities [K], their largest [], the log-likelihood []."""
        shares = mean_responsibilities.double().cpu()
        return MixtureHealth(
            effective_clusters=effective_number(shares.numpy()),
            dead_components=int(self._dead(shares).sum()),
            largest_responsibility=mean_largest.item(),
            log_likelihood=mean_log_likelihood.item(),
        )

    @torch.no_grad()
    def reseed(self, z: Tensor) -> int:
        """Move dead components to the least likely of the points z [N, d], one after the other.

        The new centre is the mean of that point's neighbourhood, N / 2K points: alone on an outlier it would
        stay dead. A moved component takes an equal share of the weight and the living components' mean
        variance. The result depends on z and the mixture alone; an optimiser keeps its momentum for the
        moved rows.

        Returns:
            How many were moved.
        """
        if not len(z):
            return 0
        z = z.float()
        living = ~self._dead(torch.softmax(self.log_prob(z), dim=1).mean(dim=0))
        moved = (~living).nonzero().flatten()
        if not len(moved):
            return 0
        weights = torch.softmax(self.weight_logits, dim=0) * living
        weights *= living.sum() / self.n_components / weights.sum()
        weights[moved] = 1 / self.n_components
        self.weight_logits.copy_(weights.clamp(min=_SMALLEST_WEIGHT).log())
        if self.covariance == "diag":
            self.log_variance[moved] = self.log_variance[living].exp().mean(dim=0).log()
        neighbours = max(1, len(z) // (2 * self.n_components))
        for component in moved:
            least_likely = torch.logsumexp(self.log_prob(z)[:, living], dim=1).argmin()
            distance = (z - z[least_likely]).square().sum(dim=1)
            self.means[component] = z[distance.topk(neighbours, largest=False).indices].mean(dim=0)
            living[component] = True
        return len(moved)

    def _excess_log(self, variance: Tensor) -> Tensor:
        return (variance - self.min_variance).clamp(min=_SMALLEST_EXCESS).log()

    def _whiten_and_join(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Distances to every centre in units of its spread [B, K, d], and log P(component, point) [B, K]."""
        variance = self.min_variance + self.log_variance.exp()
        offsets = z[:, None, :] - self.means
        if self.lower is None:
            whitened = offsets / variance.sqrt()
        else:
            factor = torch.tril(self.lower, diagonal=-1) + torch.diag(variance.sqrt())
            columns = torch.linalg.solve_triangular(factor, offsets.reshape(-1, self.dim).T, upper=False)
            whitened = columns.T.reshape(offsets.shape)
        constant = variance.log().sum(dim=-1) + self.dim * math.log(2 * math.pi)
        log_weights = functional.log_softmax(self.weight_logits, dim=0)
        return whitened, log_weights - 0.5 * (whitened.square().sum(dim=2) + constant)

    def _imbalance(self, responsibilities: Tensor) -> Tensor:
        """KL(mean responsibilities || equal shares), in nats; rounding does not take it below 0."""
        shares = responsibilities.mean(dim=0).clamp(min=torch.finfo(torch.float32).tiny)
        return ((shares * shares.log()).sum() + math.log(self.n_components)).clamp(min=0)

    def _dead(self, mean_responsibilities: Tensor) -> Tensor:
        return mean_responsibilities < self.reseed_below / self.n_components

    def _check_points(self, points: np.ndarray) -> None:
        if len(points) < self.n_components:
            raise UserError(
                "more clusters than pictures",
                got=f"{self.n_components} clusters for {len(points)} training pictures",
                fix="lower model.n_clusters or raise data.train_samples",
            )
        if not np.isfinite(points).all():
            raise IqaError(
                "the projected features are not finite, so no mixture fits them",
                fix="lower training.learning_rate, or set training.precision=float32",
            )

    def _copy(self, em: SklearnMixture) -> None:
        """Take over what EM found."""
        self.weight_logits.copy_(torch.as_tensor(em.weights_).clamp(min=_SMALLEST_WEIGHT).log())
        self.means.copy_(torch.as_tensor(em.means_))
        covariance = torch.as_tensor(em.covariances_)
        if self.lower is None:
            self.log_variance.copy_(self._excess_log(covariance))
            return
        factor = torch.linalg.cholesky(covariance)
        self.log_variance.copy_(self._excess_log(factor.diagonal().square()))
        self.lower.copy_(torch.tril(factor, diagonal=-1))
