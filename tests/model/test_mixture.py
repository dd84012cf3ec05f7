"""The mixture against scikit-learn's, and what must hold for any points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as SklearnMixture

from iqa.errors import IqaError, UserError
from iqa.model.mixture import GaussianMixture

COVARIANCES = ["diag", "tied"]


def correlated_points(number: int = 400, dim: int = 5, centers: int = 3) -> np.ndarray:
    """Blobs stretched and turned, so that a tied covariance has something off its diagonal."""
    points, _ = make_blobs(number, dim, centers=centers, random_state=0)
    turn = np.random.default_rng(0).normal(size=(dim, dim))
    points = points @ turn
    return (points - points.mean(0)) / points.std(0)


def started(covariance: str, points: np.ndarray, components: int = 3) -> GaussianMixture:
    mixture = GaussianMixture(components, points.shape[1], covariance=covariance)
    mixture.fit_em(points, seed=0)
    return mixture.eval()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_densities_and_responsibilities_are_those_of_sklearn(covariance):
    points = correlated_points()
    oracle = SklearnMixture(
        3, covariance_type=covariance, init_params="kmeans", n_init=4, reg_covar=1e-3, random_state=0
    ).fit(points)
    fresh = correlated_points()[::3] + 0.3  # points that neither was fitted to
    output = started(covariance, points)(torch.from_numpy(fresh))
    np.testing.assert_allclose(output.log_likelihood.detach(), oracle.score_samples(fresh), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(output.responsibilities.detach(), oracle.predict_proba(fresh), atol=1e-4)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_joint_densities_add_up_to_the_likelihood(covariance):
    points = correlated_points()
    mixture = started(covariance, points)
    z = torch.from_numpy(points)
    output = mixture(z)
    torch.testing.assert_close(mixture.log_prob(z).logsumexp(dim=1), output.log_likelihood)
    torch.testing.assert_close(output.responsibilities.sum(dim=1), torch.ones(len(z)))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_residual_is_the_whitened_distance_weighted_by_responsibility(covariance):
    """With one component it is the whitened point itself: mean 0, covariance the identity."""
    points = correlated_points(2000, centers=1)
    mixture = GaussianMixture(1, 5, covariance=covariance, min_variance=1e-6)
    mixture.fit_em(points, reg_covar=1e-6)
    residual = mixture.eval()(torch.from_numpy(points)).residual.detach()
    torch.testing.assert_close(residual.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    spread = torch.cov(residual.T)
    torch.testing.assert_close(spread.diagonal(), torch.ones(5), atol=0.01, rtol=0)
    if covariance == "tied":
        torch.testing.assert_close(spread, torch.eye(5), atol=0.01, rtol=0)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_em_starts_better_than_chance(covariance):
    points = correlated_points()
    z = torch.from_numpy(points)
    by_chance = GaussianMixture(3, 5, covariance=covariance)
    torch.nn.init.normal_(by_chance.means)
    fit = GaussianMixture(3, 5, covariance=covariance).fit_em(points, seed=0)
    assert fit.converged
    assert fit.log_likelihood > by_chance(z).log_likelihood.mean().item()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_em_finds_blobs_that_are_plainly_there(covariance):
    points, blob = make_blobs(300, 8, centers=4, random_state=1)
    mixture = started(covariance, points / points.std(0), components=4)
    found = mixture(torch.from_numpy(points / points.std(0))).responsibilities.argmax(dim=1)
    assert adjusted_rand_score(blob, found) > 0.99


def test_em_start_depends_on_the_seed_alone():
    points = correlated_points()
    first, second = (started("diag", points).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_training_by_its_losses_raises_the_likelihood(covariance):
    z = torch.from_numpy(correlated_points()).float()
    mixture = started(covariance, correlated_points()[:30])
    before = mixture(z).log_likelihood.mean().item()
    optimizer = torch.optim.Adam(mixture.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        mixture(z).unlikelihood.backward()
        optimizer.step()
    assert mixture(z).log_likelihood.mean().item() > before + 0.1


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_gradients_stay_finite_far_from_every_centre(covariance):
    mixture = started(covariance, correlated_points()).train()
    output = mixture(torch.full((4, 5), 1e6))
    assert output.encoding.isfinite().all()
    (output.unlikelihood + output.imbalance).backward()
    assert all(parameter.grad.isfinite().all() for parameter in mixture.parameters())


def test_variances_keep_their_floor_when_points_coincide():
    mixture = GaussianMixture(2, 3, min_variance=0.01)
    mixture.fit_em(np.repeat(np.eye(2, 3), 10, axis=0), reg_covar=1e-6)
    with torch.no_grad():
        mixture.log_variance.fill_(-50)
    peak = mixture.eval()(torch.eye(2, 3)).log_likelihood
    assert peak.max() <= -1.5 * math.log(2 * math.pi * 0.01) + 1e-4


def test_half_precision_comes_out_as_float32_also_under_autocast():
    mixture = started("tied", correlated_points())
    z = torch.from_numpy(correlated_points())[:7]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = mixture(z.half())
    assert half.log_likelihood.dtype == half.encoding.dtype == torch.float32
    torch.testing.assert_close(half.residual, mixture(z).residual, atol=0.05, rtol=0.01)


def test_one_picture_alone_is_described_as_within_a_batch():
    mixture = started("diag", correlated_points())
    z = torch.from_numpy(correlated_points())[:5]
    torch.testing.assert_close(mixture(z[:1]).encoding, mixture(z).encoding[:1])
    assert mixture.train()(z[:1]).encoding.isfinite().all()
    assert mixture(z[:1]).unlikelihood.isfinite()
    assert mixture(z[:1]).imbalance.isfinite()


def test_losses_teach_the_mixture_and_nothing_before_it():
    mixture = started("diag", correlated_points())
    z = torch.from_numpy(correlated_points()).requires_grad_()
    output = mixture(z)
    assert 0 <= output.imbalance.item() <= math.log(3)
    (output.unlikelihood + output.imbalance).backward()
    assert z.grad is None
    assert mixture.means.grad.abs().sum() > 0


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_gradients_of_the_losses_are_those_of_their_definition(covariance):
    mixture = started(covariance, correlated_points())
    z = torch.from_numpy(correlated_points()).float()
    weights, parameters = torch.tensor([0.7, 1.9]), list(mixture.parameters())
    output = mixture(z)
    ours = torch.autograd.grad(torch.stack([output.unlikelihood, output.imbalance]) @ weights, parameters)
    variance = mixture.min_variance + mixture.log_variance.exp()
    if covariance == "diag":
        scale = torch.diag_embed(variance.sqrt())
    else:
        scale = torch.tril(mixture.lower, -1) + variance.sqrt().diag()
    components = torch.distributions.MultivariateNormal(mixture.means, scale_tril=scale)
    joint = mixture.weight_logits.log_softmax(0) + components.log_prob(z[:, None])
    unlikelihood = -torch.logsumexp(joint, dim=1).mean() / mixture.dim
    shares = torch.softmax(joint, dim=1).mean(dim=0)
    imbalance = (shares * (shares * len(shares)).log()).sum()
    plain = torch.autograd.grad(torch.stack([unlikelihood, imbalance]) @ weights, parameters)
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-5)


def test_balance_is_zero_for_equal_shares_and_largest_for_one_component():
    mixture = GaussianMixture(2, 1)
    mixture.fit_em(np.array([[-3.0], [-3.1], [3.0], [3.1]]))
    equal = mixture(torch.tensor([[-3.05], [3.05]])).imbalance
    single = mixture(torch.tensor([[3.0], [3.1]])).imbalance
    assert equal.item() == pytest.approx(0, abs=1e-3)
    assert single.item() == pytest.approx(math.log(2), abs=1e-3)


def test_before_em_it_is_one_standard_normal_and_costs_nothing():
    mixture = GaussianMixture(4, 3)
    z = torch.randn(6, 3)
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum(dim=1)
    torch.testing.assert_close(mixture.eval()(z).log_likelihood, expected, atol=1e-4, rtol=1e-4)
    assert mixture(z).unlikelihood == mixture(z).imbalance == 0
    assert not mixture.fitted


def test_health_counts_who_works():
    mixture = GaussianMixture(4, 3, reseed_below=0.1)
    equal = mixture.health(torch.full((4,), 0.25), torch.tensor(0.9), torch.tensor(-1.5))
    assert equal.to_dict() == pytest.approx(
        {
            "effective_clusters": 4,
            "dead_components": 0,
            "largest_responsibility": 0.9,
            "log_likelihood": -1.5,
        }
    )
    lonely = mixture.health(torch.tensor([0.98, 0.01, 0.01, 0.0]), torch.tensor(1.0), torch.tensor(0.0))
    assert lonely.dead_components == 3
    assert 1 < lonely.effective_clusters < 1.2


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_dead_component_is_moved_to_where_it_is_needed(covariance):
    points = correlated_points()
    z = torch.from_numpy(points).float()
    mixture = started(covariance, points)
    with torch.no_grad():
        mixture.means[1] = 1e3
    before = mixture(z).log_likelihood.mean()
    twin = GaussianMixture(3, 5, covariance=covariance)
    twin.load_state_dict(mixture.state_dict())
    assert mixture.reseed(z) == 1
    after = mixture(z)
    assert (
        mixture.health(after.responsibilities.mean(0), torch.tensor(0.5), after.log_likelihood.mean()).dead_components
        == 0
    )
    assert after.log_likelihood.mean() > before
    assert mixture.reseed(z) == 0
    twin.reseed(z)
    assert torch.equal(twin.means, mixture.means)


def test_more_clusters_than_pictures_is_refused():
    with pytest.raises(UserError, match=r"more clusters than pictures[\s\S]*n_clusters"):
        GaussianMixture(8, 2).fit_em(np.zeros((5, 2)))


def test_points_that_are_not_numbers_are_refused():
    with pytest.raises(IqaError, match="not finite"):
        GaussianMixture(2, 2).fit_em(np.full((5, 2), np.nan))
