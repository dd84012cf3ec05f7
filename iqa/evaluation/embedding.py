"""Features of many dimensions laid out in two: PCA keeps distances, t-SNE keeps neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from iqa.errors import UserError
from iqa.processes import cores
from iqa.progress import progress_bar

#: Below this there are no neighbourhoods for t-SNE to keep.
MIN_POINTS = 5
#: t-SNE sees the features through this many principal components: faster, and less noise in the distances.
TSNE_DIMENSIONS = 50
#: Rounds of t-SNE with clusters drawn together, and without; after so many it says how far it is.
ROUNDS, EVERY = (250, 500), 50
#: t-SNE of fewer points runs on one thread.
THREADED_FROM = 1000


def pca(features: ArrayLike, components: int = 2, *, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components of features.

    Args:
        features: [N, D].
        components: how many to keep. Components that the features do not have (N or D too small) are zero.
        seed: of the randomised solver that large inputs use.

    Returns:
        coordinates [N, components] and the share of the variance that each component explains, in [0, 1].

    Raises:
        UserError: not a matrix, empty, or not finite.
    """
    values = _matrix(features)
    available = min(components, *values.shape)
    coordinates = np.zeros((len(values), components))
    explained = np.zeros(components)
    # Features that do not vary have no variance to share out: 0 of 0.
    if np.ptp(values, axis=0).any():
        model = PCA(available, random_state=seed)
        coordinates[:, :available] = model.fit_transform(values)
        explained[:available] = model.explained_variance_ratio_
    return coordinates, explained


def tsne(
    features: ArrayLike,
    *,
    perplexity: float = 30.0,
    seed: int = 0,
    max_points: int = 2000,
    progress: bool | None = False,
) -> tuple[NDArray[np.float64], NDArray[np.intp], float]:
    """t-SNE of features (van der Maaten and Hinton, JMLR 2008; openTSNE's interpolation-based form).

    Args:
        features: [N, D].
        perplexity: about how many neighbours each point keeps; at most (n - 1) / 3 is used.
        seed: picks the points that are kept and starts the optimisation; one seed, one result.
        max_points: larger sets are thinned to this many points, drawn without replacement.
        progress: True, a bar; None, a bar on a terminal and lines elsewhere; False, nothing.

    Returns:
        coordinates [n, 2], the rows they belong to [n] in ascending order, and the perplexity used.

    Raises:
        UserError: fewer than five points, not a matrix, or not finite.
    """
    values = _matrix(features)
    if len(values) < MIN_POINTS:
        raise UserError("too few pictures for t-SNE", got=len(values), expected=f"at least {MIN_POINTS}")
    # openTSNE is slow to import, and only this function needs it.
    from openTSNE import TSNE

    rows = np.arange(len(values))
    if len(rows) > max_points:
        rows = np.sort(np.random.default_rng(seed).choice(len(values), max_points, replace=False))
    used = float(min(perplexity, (len(rows) - 1) / 3))
    reduced, _ = pca(values[rows], max(2, min(TSNE_DIMENSIONS, *values[rows].shape)), seed=seed)
    # Threads that wait for each other cost more than they save on few points: 2 s alone, 8 s in two at 500.
    threads = 1 if len(rows) < THREADED_FROM else cores()
    what = f"t-SNE of {len(rows):,} pictures"
    bar = progress_bar(total=sum(ROUNDS), desc=what, unit="rounds", leave=False, shown=progress)

    def told(*about: object) -> None:  # it would end the rounds with True
        bar.update(EVERY)

    model = TSNE(
        perplexity=used,
        n_jobs=threads,
        random_state=seed,
        initialization=_start(reduced, seed),
        n_iter=ROUNDS[1],
        early_exaggeration_iter=ROUNDS[0],
        callbacks=told,
        callbacks_every_iters=EVERY,
    )
    with bar:
        return np.array(model.fit(reduced)), rows, used


def _start(reduced: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The first two principal components, small as t-SNE wants them, and jittered to part equal points."""
    spread = reduced[:, 0].std()
    jitter = 1e-6 * np.random.default_rng(seed).normal(size=(len(reduced), 2))
    return reduced[:, :2] * (1e-4 / spread if spread > 0 else 0.0) + jitter


def _matrix(features: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise UserError("features are not a matrix", got=f"shape {values.shape}", expected="[pictures, dimensions]")
    if not np.isfinite(values).all():
        raise UserError("features that are not finite cannot be laid out", got="NaN or infinity")
    return values
