"""The directions of the embedding in which the mixture looks at pictures: those that tell what happened to them."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

#: Spread of points along a direction of length 1 that is more than rounding.
SMALLEST = 1e-6
#: Numbers that directions are found from: of more pictures some are drawn, so that memory does not feel them.
MOST_NUMBERS = 2**23


@torch.no_grad()
def find_directions(embeddings: Tensor, sorts: Tensor, dim: int) -> Tensor:
    """Linear discriminants between sorts of pictures; what they do not fill are principal components of the rest.

    Principal components alone follow what pictures show, and all pictures of a content that was never seen would fall
    into one cluster. Discriminants keep to what happened to the pictures: with sorts by kind of distortion these are
    Fisher's (Annals of Eugenics 7, 1936), with slices of the score those of sliced inverse regression (Li, Journal of
    the American Statistical Association 86, 1991). The spread within sorts is shrunk (Ledoit and Wolf, 2004).

    Args:
        embeddings: [N, D].
        sorts: int64 [N]; those of a single picture are left out.
        dim: at most D.

    Returns:
        [D, dim], each of such a length that the points have variance 1 along it; columns that neither can fill are 0.
    """
    some = _drawn(len(embeddings), MOST_NUMBERS // embeddings.shape[1])
    points = embeddings[some.to(embeddings.device)].double().cpu().numpy()
    points = points - points.mean(axis=0)
    found = _discriminants(points, sorts[some.to(sorts.device)].cpu().numpy())[:, :dim]
    basis, _ = np.linalg.qr(found)
    rest = points - points @ basis @ basis.T
    components = np.linalg.svd(rest, full_matrices=False)[2][: dim - found.shape[1]].T
    directions = np.zeros((points.shape[1], dim))
    filled = np.concatenate([found, components], axis=1)
    spread = (points @ filled).std(axis=0)
    told = spread > SMALLEST * np.linalg.norm(filled, axis=0)
    directions[:, : filled.shape[1]] = np.where(told, filled / np.where(told, spread, 1), 0)
    return torch.from_numpy(directions).to(embeddings)


def _drawn(count: int, most: int) -> Tensor:
    """At most so many of 0 to count - 1, the same each time, ascending."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def _discriminants(points: np.ndarray, sorts: np.ndarray) -> np.ndarray:
    """[D, sorts - 1] at most, the one that tells sorts apart best first."""
    known, sizes = np.unique(sorts, return_counts=True)
    kept = np.isin(sorts, known[sizes > 1])
    number = min(int((sizes > 1).sum()) - 1, points.shape[1])
    if number < 1 or np.ptp(points[kept], axis=0).max() == 0:
        return np.zeros((points.shape[1], 0))
    try:
        fitted = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(points[kept], sorts[kept])
    except np.linalg.LinAlgError:  # pictures of a sort are all alike: principal components tell sorts apart
        return np.zeros((points.shape[1], 0))
    return np.asarray(fitted.scalings_[:, :number])
