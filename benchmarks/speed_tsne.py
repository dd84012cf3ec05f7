"""t-SNE of 10,000 feature rows as the project lays them out, against scikit-learn's.

Both see the same 50 principal components, look for as many neighbours (perplexity 30) and may use every core; PCA is
part of both times. A faster picture is worth nothing if it is a worse one: trustworthiness (Venna and Kaski, ICANN
2001) says how far the neighbours in the picture are neighbours among the features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE, trustworthiness
from timing import LeftOut, Options, Row, Timing, in_turns

from iqa.evaluation.embedding import TSNE_DIMENSIONS, pca, tsne

DIMENSIONS, CLUSTERS, LATENT, NOISE = 512, 10, 16, 0.1
PERPLEXITY, NEIGHBOURS = 30.0, 10
POINTS, CHECKED = 10_000, 2000
QUICK_POINTS, QUICK_CHECKED = 500, 200
#: A round takes minutes on a small machine.
MOST_ROUNDS = 3

Matrix = NDArray[np.float64]


@dataclass
class Contender:
    """A way to lay features out, and what it has made of them so far."""

    lay_out: Callable[[Matrix, int], Matrix]
    features: Matrix
    made: list[Matrix] = field(default_factory=list)

    def __call__(self) -> None:
        """Once more, from another seed."""
        self.made.append(self.lay_out(self.features, len(self.made)))


def measure(options: Options) -> list[Row]:
    """Both times, their ratio, and how true both pictures are."""
    try:
        import openTSNE  # noqa: F401
    except ImportError as error:
        raise LeftOut("needs the package openTSNE") from error
    points, checked = (QUICK_POINTS, QUICK_CHECKED) if options.quick else (POINTS, CHECKED)
    features = clustered(points)
    ours, theirs = Contender(project, features), Contender(scikit_learn, features)
    for contender in (ours, theirs):  # imports and compiled parts
        contender.lay_out(features[: points // 5], 0)
    rounds = min(options.rounds, MOST_ROUNDS)
    timed = in_turns({"ours": ours, "theirs": theirs}, rounds, torch.device("cpu"), warm_up=0)
    note = f"{points:,} x {DIMENSIONS} features"
    return [
        Row("tsne", "scikit-learn / ours", *timed["theirs"].over(timed["ours"]), "times", "", note),
        Row("tsne", "ours", timed["ours"].median, *timed["ours"].interval(), "s"),
        Row("tsne", "scikit-learn", timed["theirs"].median, *timed["theirs"].interval(), "s"),
        trust_row("trustworthiness, ours", ours, checked),
        trust_row("trustworthiness, scikit-learn", theirs, checked),
    ]


def clustered(points: int) -> Matrix:
    """Features in clusters that vary in a few directions, as those of a network do, with a little noise in all."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLUSTERS, LATENT))
    inner = 2 * centres[random.integers(CLUSTERS, size=points)] + random.normal(size=(points, LATENT))
    outer = inner @ random.normal(size=(LATENT, DIMENSIONS)) / LATENT**0.5
    return np.asarray(outer + NOISE * random.normal(size=outer.shape))


def project(features: Matrix, seed: int) -> Matrix:
    coordinates, _, _ = tsne(features, perplexity=PERPLEXITY, seed=seed, max_points=len(features))
    return coordinates


def scikit_learn(features: Matrix, seed: int) -> Matrix:
    reduced, _ = pca(features, TSNE_DIMENSIONS, seed=seed)
    return np.asarray(TSNE(perplexity=PERPLEXITY, n_jobs=-1, random_state=seed).fit_transform(reduced), np.float64)


def trust_row(what: str, contender: Contender, checked: int) -> Row:
    """Over the timed pictures, on some of the points: the measure compares each with every other."""
    rows = np.random.default_rng(1).choice(len(contender.features), checked, replace=False)
    found = [
        trustworthiness(contender.features[rows], picture[rows], n_neighbors=NEIGHBOURS) for picture in contender.made
    ]
    spread = Timing(tuple(found))
    return Row("tsne", what, spread.median, *spread.interval(), "", "", f"{checked:,} points, {NEIGHBOURS} neighbours")
