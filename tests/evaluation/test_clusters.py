"""What a report says of clusters: against other implementations, and that it finds what is there."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from made_up import make_evaluated
from scipy import stats
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from sklearn.mixture import GaussianMixture

from iqa.api.evaluate import headline
from iqa.evaluation import clusters
from iqa.evaluation.clusters import (
    FIGURES,
    describe_clusters,
    shared_information,
    stability,
    supported_counts,
    variance_explained,
)
from iqa.evaluation.evaluated import Evaluated, together


def blobs(n: int = 300, centers: int = 4, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    points, labels = make_blobs(n, 3, centers=centers, cluster_std=spread, random_state=0)
    return (points - points.mean(0)) / points.std(0), labels


@pytest.fixture(scope="module")
def evaluated() -> Evaluated:
    """Pictures whose mixture has four components where the points have four blobs."""
    points, labels = blobs(240)
    return dataclasses.replace(make_evaluated(240, 4), z=points, responsibilities=np.eye(4)[labels])


def test_shared_information_is_mutual_information_over_the_mean_entropy():
    random = np.random.default_rng(0)
    found, kinds = random.integers(4, size=200), random.integers(3, size=200).astype(str)
    kinds[found == 0] = "blur"
    entropies = [stats.entropy(np.unique(labels, return_counts=True)[1]) for labels in (found, kinds)]
    expected = mutual_info_score(kinds, found) / np.mean(entropies)
    assert shared_information(found, kinds.tolist()) == pytest.approx(expected)
    assert shared_information(found, found.astype(str).tolist()) == pytest.approx(1)


def test_one_label_and_a_label_for_each_picture_share_nothing_that_could_be_told():
    found = np.arange(20) % 3
    assert shared_information(found, ["none"] * 20) is None
    assert shared_information(found, [str(row) for row in range(20)]) is None


def test_the_variance_explained_is_that_of_an_analysis_of_variance():
    random = np.random.default_rng(0)
    found = random.integers(5, size=120) * 2  # some components have no picture
    scores = 0.1 * found + random.normal(size=120)
    parts = [scores[found == cluster] for cluster in np.unique(found)]
    f = stats.f_oneway(*parts).statistic
    between, within = len(parts) - 1, len(scores) - len(parts)
    assert variance_explained(scores, found) == pytest.approx(between * f / (between * f + within))
    assert variance_explained(found.astype(float), found) == pytest.approx(1)
    assert variance_explained(np.full(120, 0.3), found) is None


def test_clusters_that_are_plainly_there_are_stable_and_those_of_one_cloud_are_not():
    points, _ = blobs()
    each = np.arange(len(points))
    assert stability(points, each, 4, "diag") > 0.98
    cloud = np.random.default_rng(0).normal(size=(300, 3))
    assert -0.1 < stability(cloud, each, 4, "diag") < 0.7
    assert stability(cloud, each, 1, "diag") is None


def test_stability_is_the_mean_agreement_with_the_clusters_of_all(monkeypatch):
    monkeypatch.setattr(clusters, "REFITS", 1)
    points, each = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100)
    drawn = np.random.default_rng(3).choice(each, 80, replace=False)
    whole, part = (
        GaussianMixture(3, covariance_type="tied", reg_covar=1e-3, tol=1e-2, random_state=seed)
        .fit(shown)
        .predict(points)
        for seed, shown in ((3, points), (4, points[np.sort(drawn)]))
    )
    assert stability(points, each, 3, "tied", seed=3) == pytest.approx(adjusted_rand_score(whole, part))


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_both_criteria_support_the_blobs_that_are_there(covariance):
    points, _ = blobs(600, centers=6)
    curves = supported_counts(points, np.arange(600), covariance)
    counts, held_out = curves["n_clusters"], curves["held_out_log_likelihood"]
    assert counts[0] == 1
    assert counts[-1] == 16
    assert counts[np.argmin(curves["bic"])] == 6
    there = counts.index(6)
    assert held_out[there] - held_out[there - 1] > 0.1
    assert max(held_out) - held_out[there] < 0.05


def test_one_component_has_the_likelihood_of_a_normal_distribution():
    points = np.random.default_rng(0).normal(size=(200, 2))
    curves = supported_counts(points, np.arange(200), "tied")
    normal = stats.multivariate_normal(points.mean(0), np.cov(points.T, bias=True) + 1e-3 * np.eye(2))
    parameters = 2 + 3
    assert curves["bic"][0] == pytest.approx(parameters * np.log(200) - 2 * normal.logpdf(points).sum())
    fresh = np.random.default_rng(1).normal(size=(20000, 2))
    assert curves["held_out_log_likelihood"][0] == pytest.approx(normal.logpdf(fresh).mean(), abs=0.1)


def test_points_of_a_held_out_content_were_not_seen():
    """Where each content is a point of its own, what was seen of others does not help."""
    content = np.arange(400) % 8
    points = 5 * np.random.default_rng(0).normal(size=(8, 2))[content] + np.random.default_rng(1).normal(
        scale=0.1, size=(400, 2)
    )
    by_content = supported_counts(points, content, "diag")["held_out_log_likelihood"]
    by_picture = supported_counts(points, np.arange(400), "diag")["held_out_log_likelihood"]
    assert by_picture[7] > by_picture[0] + 2
    assert by_content[7] < by_content[0]


def test_a_report_has_every_figure_and_the_same_ones_again(evaluated):
    found = describe_clusters(evaluated, seed=1)
    assert found == describe_clusters(evaluated, seed=1)
    assert found["n_clusters"] == found["clusters_used"] == found["supported_by_bic"] == 4
    assert found["effective_clusters"] == pytest.approx(4)
    assert found["stability"] > 0.95
    assert found["nmi_subset"] is None
    assert 0 < found["nmi_kind"] < 1
    assert found["resampled"] == "contents"
    assert describe_clusters(make_evaluated(60, 2))["resampled"] == "pictures"  # of three contents
    assert set(FIGURES) <= set(found)


def test_mlflow_shows_them_in_the_mixtures_group(evaluated):
    results = {"metrics": {}, "by_subset": {}, "intervals": None, "mixture": describe_clusters(evaluated)}
    assert headline(results)["mixture/test_nmi_kind"] == results["mixture"]["nmi_kind"]
    assert headline(results, "other")["mixture/test/other/stability"] == results["mixture"]["stability"]
    assert headline({"metrics": {}, "by_subset": {}, "intervals": None, "mixture": None}) == {}


def test_without_a_mixture_or_its_points_nothing_is_made_up(evaluated):
    assert describe_clusters(make_evaluated(20, 0)) is None
    found = describe_clusters(dataclasses.replace(evaluated, z=None))
    assert found["nmi_kind"] is not None
    assert found["stability"] is found["supported_by_bic"] is found["supported"] is None


@pytest.mark.parametrize("n", [2, 3, 7, 30])
def test_few_pictures_and_equal_points_are_borne(n):
    few = dataclasses.replace(make_evaluated(n, 8), z=np.ones((n, 4), dtype=np.float32))
    found = describe_clusters(few)
    assert all(found[name] is None or np.isfinite(found[name]) for name in FIGURES)


def test_an_ensemble_has_the_points_of_the_first_mixture(evaluated):
    plain = dataclasses.replace(evaluated, responsibilities=None, log_likelihood=None, z=None)
    assert together([plain, evaluated]).z is evaluated.z


def test_many_pictures_are_thinned_and_take_seconds():
    many = make_evaluated(50, 16)
    random = np.random.default_rng(0)
    rows = random.integers(50, size=20_000)
    many = dataclasses.replace(
        many,
        **{name: getattr(many, name)[rows] for name in ("predicted", "true", "responsibilities", "log_likelihood")},
        features=many.features[rows],
        z=random.normal(size=(20_000, 16)),
        table=many.table.iloc[rows].assign(content=np.arange(20_000)),
    )
    began = time.process_time()
    assert describe_clusters(many)["stability"] is not None
    assert time.process_time() - began < 30
