"""What the clusters of a mixture tell of the pictures, how firm they are, and how many of them the pictures support."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from iqa.evaluation.evaluated import Evaluated
from iqa.model.em import effective_number

#: Mixtures are fitted anew to so many pictures at most.
MOST_PICTURES = 2000
#: Counts of components that are tried.
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
#: Refits that stability is the mean over, each to this share of the contents.
REFITS = 10
SHARE = 0.8
FOLDS = 3
#: What a table of runs compares.
FIGURES = (
    *("nmi_kind", "nmi_subset", "nmi_content", "score_variance_explained", "effective_clusters", "stability"),
    *("supported_by_bic", "supported_by_likelihood"),
)
#: Of fitted covariances, as at the start of a training.
_REGULARISATION = 1e-3
#: EM ends where a round adds less to the mean log-likelihood, in nats: counts differ by more.
_TOLERANCE = 1e-2

Points = NDArray[np.float64]


def describe_clusters(evaluated: Evaluated, *, seed: int = 0) -> dict[str, Any] | None:
    """Every number of a report about the mixture; None without one.

    Args:
        seed: of the pictures drawn for refits, and of their starts.

    Returns:
        n_clusters, clusters_used, mean_largest_responsibility, mean_log_likelihood;
        effective_clusters: 1 when one component takes all pictures, K when all take the same;
        nmi_kind, nmi_subset, nmi_content: normalised mutual information with the clusters, 0 to 1; None where there is
        only one, or where no two pictures share one;
        score_variance_explained: share of the true scores' variance that lies between clusters (eta squared);
        stability, supported: see `stability` and `supported_counts`;
        supported_by_bic, supported_by_likelihood: the best counts of `supported`;
        resampled: what is left out together for them, "contents", or "pictures" where contents are few.
    """
    clusters, shares = evaluated.clusters, evaluated.responsibilities
    if clusters is None or shares is None:
        return None
    likelihood = evaluated.log_likelihood
    contents = evaluated.table["content"].astype(str).tolist()
    return {
        "n_clusters": evaluated.n_clusters,
        "clusters_used": len(np.unique(clusters)),
        "mean_largest_responsibility": float(shares.max(axis=1).mean()),
        "mean_log_likelihood": None if likelihood is None else float(np.mean(likelihood)),
        "effective_clusters": effective_number(shares.mean(axis=0, dtype=np.float64)),
        "nmi_kind": shared_information(clusters, evaluated.kinds),
        "nmi_subset": shared_information(clusters, evaluated.subsets),
        "nmi_content": shared_information(clusters, contents),
        "score_variance_explained": variance_explained(evaluated.true, clusters),
        **_refitted(evaluated, contents, seed),
    }


def shared_information(clusters: NDArray[np.intp], labels: Sequence[str]) -> float | None:
    """Normalised mutual information of clusters and labels, or None where labels tell apart no pictures, or all."""
    if not 1 < len(set(labels)) < len(labels):
        return None
    return float(normalized_mutual_info_score(labels, clusters))


def variance_explained(scores: NDArray[np.floating], clusters: NDArray[np.intp]) -> float | None:
    """Sum of squares of scores [N] between clusters, as a share of all of it (eta squared); None for equal scores."""
    values = np.asarray(scores, dtype=np.float64)
    total = np.square(values - values.mean()).sum()
    if np.ptp(values) == 0:
        return None
    counts = np.bincount(clusters)
    means = np.bincount(clusters, values) / np.maximum(counts, 1)
    return float((counts * np.square(means - values.mean())).sum() / total)


def stability(
    points: Points, groups: NDArray[np.intp], components: int, covariance: str, *, seed: int = 0
) -> float | None:
    """How alike the clusters of points are that mixtures find which are fitted to parts of them.

    Each of REFITS mixtures is fitted to SHARE of the groups and sorts all points. The mean adjusted Rand index
    (Hubert and Arabie, Journal of Classification 2, 1985) between those and what a mixture of all points finds: 1 for
    the same clusters, 0 for what chance would agree on.

    Args:
        points: [N, d].
        groups: [N], points of a group are left out together.

    Returns:
        None with one component, or where there are too few points for the parts.
    """
    whole = _fit(points, components, covariance, seed)
    if whole is None or components < 2:
        return None
    labels, names, random = whole.predict(points), np.unique(groups), np.random.default_rng(seed)
    found = []
    for number in range(REFITS):
        drawn = random.choice(names, max(1, round(SHARE * len(names))), replace=False)
        part = _fit(points[np.isin(groups, drawn)], components, covariance, seed + 1 + number)
        if part is None:
            return None
        found.append(adjusted_rand_score(labels, part.predict(points)))
    return float(np.mean(found))


def supported_counts(
    points: Points, groups: NDArray[np.intp], covariance: str, *, seed: int = 0
) -> dict[str, list[Any]]:
    """Mixtures of COUNTS components by how well they describe points [N, d].

    Returns:
        n_clusters: the counts;
        bic: Bayes' information criterion of a mixture of all points (Schwarz, Annals of Statistics 6, 1978), lower is
        better;
        held_out_log_likelihood: mean over points, in nats, each under a mixture that saw no point of its group; higher
        is better. None where there are too few points for the count.
    """
    curves: dict[str, list[Any]] = {"n_clusters": [], "bic": [], "held_out_log_likelihood": []}
    folds = list(_folds(groups, seed))
    for count in COUNTS:
        whole = _fit(points, count, covariance, seed)
        parts = [(_fit(points[~held], count, covariance, seed), held) for held in folds]
        likelihoods = [part.score_samples(points[held]) for part, held in parts if part is not None]
        complete = len(likelihoods) == len(folds) and folds
        curves["n_clusters"].append(count)
        curves["bic"].append(None if whole is None else float(whole.bic(points)))
        curves["held_out_log_likelihood"].append(float(np.concatenate(likelihoods).mean()) if complete else None)
    return curves


def _refitted(evaluated: Evaluated, contents: Sequence[str], seed: int) -> dict[str, Any]:
    """What mixtures that are fitted anew to the pictures say."""
    nothing = dict.fromkeys(("stability", "supported_by_bic", "supported_by_likelihood", "supported", "resampled"))
    if evaluated.z is None or not np.isfinite(evaluated.z).all():
        return nothing
    rows = np.arange(len(evaluated))
    if len(rows) > MOST_PICTURES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_PICTURES, replace=False))
    points = evaluated.z[rows].astype(np.float64)
    groups = np.unique(np.array(contents)[rows], return_inverse=True)[1]
    few = groups.max() + 1 < 2 * FOLDS  # too few to leave some out
    if few:
        groups = np.arange(len(rows))
    with threadpool_limits(1):  # of so few points threads would only wait for each other
        curves = supported_counts(points, groups, evaluated.covariance, seed=seed)
        firm = stability(points, groups, evaluated.n_clusters, evaluated.covariance, seed=seed)
    return {
        "stability": firm,
        "supported_by_bic": _best(curves["n_clusters"], curves["bic"], lowest=True),
        "supported_by_likelihood": _best(curves["n_clusters"], curves["held_out_log_likelihood"]),
        "supported": curves,
        "resampled": "pictures" if few else "contents",
    }


def _best(counts: Sequence[int], curve: Sequence[float | None], *, lowest: bool = False) -> int | None:
    known = [(value, -count) for count, value in zip(counts, curve, strict=True) if value is not None]
    if not known:
        return None
    return -(min(known, key=lambda pair: (pair[0], -pair[1])) if lowest else max(known))[1]


def _folds(groups: NDArray[np.intp], seed: int) -> Iterator[NDArray[np.bool_]]:
    """The rows that are held out, FOLDS times; each row once, with all of its group."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    for part in np.array_split(names, FOLDS):
        if len(part):
            yield np.isin(groups, part)


def _fit(points: Points, components: int, covariance: str, seed: int) -> GaussianMixture | None:
    """A mixture of the points, or None where they allow none."""
    if len(points) < max(2, components):
        return None
    mixture = GaussianMixture(
        components,
        covariance_type=covariance,
        reg_covar=_REGULARISATION,
        tol=_TOLERANCE,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return mixture.fit(points)
        except ValueError:  # no covariance fits
            return None
