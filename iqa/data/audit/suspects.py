"""Scores that pictures which look alike contradict: what they would be, told by all other pictures of the set.

Each score is predicted from features by a ridge regression on pictures of other contents. A score far from what is
predicted may be wrong, a row that slipped or a scale turned round, or the picture odd: whoever looks decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import QuantileTransformer

from iqa.data.audit.findings import Finding, of_names
from iqa.data.audit.natural import COUNT
from iqa.metrics import srcc

#: Pictures below which nothing is predicted.
LEAST = 60
#: Parts that pictures are dealt to: each is predicted from the others.
FOLDS = 5
#: Dimensions that features are reduced to, and pictures that tell which.
DIMENSIONS, LEARNT_FROM = 300, 10_000
#: Variance of all statistics together, where that of the network's features is 1.
WEIGHT = 0.18
#: Strengths of the ridge that are tried, for features whose variance is 1 in all.
STRENGTHS = np.logspace(-2, 2, 9)
#: SRCC of predicted and given scores below which features tell nothing of these scores.
TELLING = 0.2
#: Usual deviations from the prediction that make a score suspect, or worth a look; and how many of them are listed.
ODD, WORTH_A_LOOK, LISTED = 3.5, 2.5, 24
#: Rows that are reduced at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class Suspects:
    """Scores and what the other pictures say of them.

    Attributes:
        expected: float64 [N], the predicted scores; NaN for unreadable pictures.
        deviations: float64 [N], how far each score is above its prediction, in usual deviations (1.4826 MAD); NaN too.
        srcc: of predicted and given scores.
    """

    expected: np.ndarray
    deviations: np.ndarray
    srcc: float

    @property
    def telling(self) -> bool:
        """Whether the features tell anything of these scores."""
        return self.srcc >= TELLING

    @property
    def rows(self) -> np.ndarray:
        """Rows of the suspects, the oddest first; none where features tell nothing."""
        return self.beyond(ODD)

    def beyond(self, deviations: float) -> np.ndarray:
        """Rows of scores that are so far from what is expected, the oddest first; none where features tell nothing."""
        distance = np.nan_to_num(np.abs(self.deviations))
        order = np.argsort(-distance, kind="stable")
        return order[distance[order] >= deviations] if self.telling else order[:0]


def find_suspects(features: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Suspects | None:
    """Predict each score from pictures of other groups.

    Args:
        features: [N, D], the first COUNT of them statistics; NaN for unreadable pictures.
        scores: float64 [N], on any scale.
        groups: a number for each picture, the same for those of one content.

    Returns:
        None for fewer than LEAST pictures that can be read, fewer groups than FOLDS, or scores that do not differ.
    """
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    fold = _folds(groups[known])
    if len(known) < LEAST or len(np.unique(fold)) < FOLDS or np.ptp(scores[known]) == 0:
        return None
    reduced, given = _reduced(features, known), scores[known]
    predicted = np.empty(len(known))
    for number in range(FOLDS):
        here = fold == number
        predicted[here] = RidgeCV(STRENGTHS).fit(reduced[~here], given[~here]).predict(reduced[here])
    gap = given - predicted
    usual = 1.4826 * float(np.median(np.abs(gap - np.median(gap))))
    expected, deviations = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    expected[known], deviations[known] = predicted, gap / max(usual, 1e-9)
    return Suspects(expected, deviations, float(np.nan_to_num(srcc(predicted, given))))


def _folds(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """A fold for each picture, whole groups at a time."""
    _, number = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(number.max(initial=0) + 1)
    folds: np.ndarray = order[number] % FOLDS
    return folds


def _reduced(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The features of these rows in few dimensions, their variance 1 in all: float64 [n, DIMENSIONS] at most."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(rows, min(len(rows), LEARNT_FROM), replace=False))
    # Statistics have long tails; what counts is their order.
    ranks = QuantileTransformer(n_quantiles=min(200, len(some)), output_distribution="normal", subsample=None)
    ranks.fit(features[some, :COUNT].astype(np.float64))
    seen = features[some, COUNT:].astype(np.float32)
    mean, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-6)
    del seen

    def scaled(chosen: np.ndarray) -> np.ndarray:
        statistics = np.clip(ranks.transform(features[chosen, :COUNT].astype(np.float64)), -3, 3)
        seen = (features[chosen, COUNT:].astype(np.float32) - mean) / spread
        shares = (statistics * np.sqrt(WEIGHT / COUNT), seen / np.sqrt(max(1, seen.shape[1])))
        return np.concatenate(shares, axis=1).astype(np.float32)

    count = min(DIMENSIONS, len(some) - 1, features.shape[1])
    axes = PCA(count, svd_solver="randomized", random_state=0).fit(scaled(some))
    blocks = [axes.transform(scaled(rows[start : start + _BLOCK])) for start in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks).astype(np.float64)


def suspect_facts(found: Suspects | None, names: list[str], scores: np.ndarray) -> dict[str, Any]:
    """Figures on suspects, and the scores that are worth a look, the oddest first, with what was expected."""
    if found is None:
        return {"looked_at": 0, "srcc_of_expected": None, "count": 0, "first": []}
    first = [
        {
            "image": names[row],
            "score": float(scores[row]),
            "expected": float(found.expected[row]),
            "deviations": float(found.deviations[row]),
        }
        for row in found.beyond(WORTH_A_LOOK)[:LISTED].tolist()
    ]
    looked_at = int(np.isfinite(found.expected).sum())
    return {"looked_at": looked_at, "srcc_of_expected": found.srcc, "count": len(found.rows), "first": first}


def suspect_findings(found: Suspects | None, names: list[str]) -> list[Finding]:
    """A finding on the suspects, if there are any."""
    suspects = [] if found is None else [names[row] for row in found.rows.tolist()]
    return of_names(
        "suspects",
        "contradicted",
        "score is far from those of pictures that look alike",
        "scores are far from those of pictures that look alike",
        suspects,
    )
