"""Two dimensions out of many: the layouts against sklearn, and that they keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from iqa import progress
from iqa.errors import UserError
from iqa.evaluation import embedding


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return 8 * random.normal(size=(3, 70))[labels] + random.normal(size=(60, 70)), labels


def test_pca_is_sklearns(blobs):
    coordinates, explained = embedding.pca(blobs[0])
    model = PCA(2).fit(blobs[0])
    assert np.abs(coordinates) == pytest.approx(np.abs(model.transform(blobs[0])))
    assert explained == pytest.approx(model.explained_variance_ratio_)


def test_components_that_features_do_not_have_are_zero():
    coordinates, explained = embedding.pca(np.arange(4.0)[:, None])
    assert coordinates.shape == (4, 2)
    assert explained == pytest.approx([1, 0])


def test_features_that_do_not_vary_lie_on_one_point():
    coordinates, explained = embedding.pca(np.ones((4, 3)))
    assert not coordinates.any()
    assert not explained.any()


def test_tsne_keeps_neighbours_and_comes_out_the_same_twice(blobs):
    features, labels = blobs
    coordinates, rows, perplexity = embedding.tsne(features, seed=3)
    nearest = NearestNeighbors(n_neighbors=2).fit(coordinates).kneighbors(coordinates)[1][:, 1]
    assert (labels[nearest] == labels).mean() > 0.95
    assert perplexity == pytest.approx(59 / 3)
    assert (rows == np.arange(60)).all()
    assert np.array_equal(coordinates, embedding.tsne(features, seed=3)[0])


def test_tsne_says_how_far_it_is_and_is_the_same_for_it(blobs, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told = embedding.tsne(blobs[0], seed=3, progress=None)[0]
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("t-SNE of 60 pictures: 50 of 750 rounds") for line in said)
    assert said[-1].startswith("t-SNE of 60 pictures: 750 of 750 rounds")
    assert np.array_equal(told, embedding.tsne(blobs[0], seed=3)[0])
    assert capsys.readouterr().err == ""


def test_tsne_thins_large_sets(blobs):
    coordinates, rows, _ = embedding.tsne(blobs[0], max_points=20)
    assert coordinates.shape == (20, 2)
    assert (np.diff(rows) > 0).all()
    assert rows.max() < 60


def test_five_points_are_enough_for_tsne_and_four_are_not():
    features = np.random.default_rng(0).normal(size=(5, 3))
    assert np.isfinite(embedding.tsne(features)[0]).all()
    with pytest.raises(UserError, match="too few pictures"):
        embedding.tsne(features[:4])


@pytest.mark.parametrize("features", [np.ones(5), np.ones((0, 3)), np.full((5, 2), np.nan)])
def test_features_that_are_no_matrix_of_numbers_are_refused(features):
    with pytest.raises(UserError):
        embedding.pca(features)
