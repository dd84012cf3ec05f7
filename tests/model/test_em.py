"""The start of the mixture: no component goes without pictures unnoticed, whatever the pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from iqa.config import MixtureConfig
from iqa.model.em import Shared, effective_number, run_em
from iqa.model.head import Projection
from iqa.model.mixture import GaussianMixture

FEATURES = 24
Random = np.random.Generator
#: Embeddings of n pictures, and what happened to each, by their shape.
SHAPES: dict[str, Callable[[int, Random], tuple[np.ndarray, np.ndarray]]] = {}


def shape(draw: Callable[[int, Random], tuple[np.ndarray, np.ndarray]]) -> None:
    SHAPES[draw.__name__] = draw


@shape
def one_cloud(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    return random.normal(size=(n, FEATURES)), random.integers(5, size=n)


@shape
def a_cloud_for_each_kind(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    kind = random.integers(25, size=n)
    return random.normal(size=(n, FEATURES)) + random.normal(size=(25, FEATURES))[kind], kind


@shape
def tight_contents(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    content = 3 * random.normal(size=(12, FEATURES))[random.integers(12, size=n)]
    return content + 0.1 * random.normal(size=(n, FEATURES)), random.integers(5, size=n)


@shape
def far_outliers(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    return random.standard_t(2, size=(n, FEATURES)), random.integers(5, size=n)


@shape
def a_line(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    level = random.integers(5, size=n)
    along = np.outer(level + 0.1 * random.normal(size=n), random.normal(size=FEATURES))
    return along + 0.01 * random.normal(size=(n, FEATURES)), level


@shape
def eight_pictures_over_and_over(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    which = random.integers(8, size=n)
    return random.normal(size=(8, FEATURES))[which], which


@shape
def a_single_picture_over_and_over(n: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((n, FEATURES)), random.integers(5, size=n)


class Heard(logging.Handler):
    """Collects what is logged while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Heard:
        logging.getLogger("iqa.model.em").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("iqa.model.em").removeHandler(self)


def start(embeddings: np.ndarray, sorts: np.ndarray, components: int, dim: int, covariance: str) -> np.ndarray:
    """Responsibilities of the training pictures after the start [n, K]."""
    z = Projection(FEATURES, dim).calibrate(torch.from_numpy(embeddings).float(), torch.from_numpy(sorts))
    settings = MixtureConfig(dim=dim, covariance=covariance)
    mixture = GaussianMixture(components, dim, covariance=covariance, min_variance=settings.min_variance)
    mixture.fit_em(z, n_init=settings.n_init, reg_covar=settings.reg_covar, max_iter=settings.max_iter)
    with torch.no_grad():
        return mixture.eval()(z).responsibilities.numpy()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(SHAPES)),
    n=st.sampled_from([64, 200, 700, 3000]),
    components=st.integers(2, 32),
    dim=st.sampled_from([4, 16]),
    covariance=st.sampled_from(["diag", "tied"]),
)
def test_every_component_has_pictures_and_half_of_them_work_or_it_is_said(name, n, components, dim, covariance):
    embeddings, sorts = SHAPES[name](n, np.random.default_rng(n))
    with Heard() as heard:
        responsibilities = start(embeddings, sorts, components, dim, covariance)
    assert np.isfinite(responsibilities).all()
    has_pictures = len(np.unique(responsibilities.argmax(axis=1))) == components
    half_works = np.exp(entropy(responsibilities.mean(axis=0))) >= components / 2
    if heard.lines:
        assert len(heard.lines) == 1
        assert f"do not support {components} clusters" in heard.lines[0]
        assert "lower model.n_clusters" in heard.lines[0]
    else:
        assert has_pictures
        assert half_works


@pytest.mark.parametrize("n", [64, 3000])
@pytest.mark.parametrize("name", ["one_cloud", "a_cloud_for_each_kind"])
def test_ordinary_pictures_support_what_is_usual(name, n):
    with Heard() as heard:
        start(*SHAPES[name](n, np.random.default_rng(0)), 8, 16, "diag")
    assert heard.lines == []


def test_the_warning_gives_numbers():
    with Heard() as heard:
        start(*SHAPES["eight_pictures_over_and_over"](64, np.random.default_rng(0)), 16, 4, "diag")
    (line,) = heard.lines
    assert "16 clusters: 8 of them hold pictures" in line


def test_where_the_likeliest_start_is_not_sound_another_one_is_taken(monkeypatch):
    points = np.random.default_rng(0).normal(size=(60, 3))
    sound, judged = Shared.sound, []

    def refuse_the_first(shared: Shared) -> bool:
        judged.append(shared)
        return len(judged) > 1 and sound.fget(shared)

    monkeypatch.setattr(Shared, "sound", property(refuse_the_first))
    settings = {"n_init": 1, "reg_covar": 1e-3, "max_iter": 100}
    with Heard() as heard:
        taken = run_em(points, 3, "diag", seed=5, **settings)
    assert len(judged) == 2
    assert heard.lines == []
    np.testing.assert_array_equal(taken.means_, run_em(points, 3, "diag", seed=6, **settings).means_)


def test_the_effective_number_is_that_of_equal_shares():
    assert effective_number([0.25] * 4) == pytest.approx(4)
    assert effective_number([1, 0, 0]) == pytest.approx(1)
    shares = np.random.default_rng(0).dirichlet(np.ones(7))
    assert effective_number(shares) == pytest.approx(np.exp(entropy(shares)))
