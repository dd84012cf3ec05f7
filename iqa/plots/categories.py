"""How the pictures of a figure are told apart: by cluster of the mixture, else by group of distortions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iqa.data.manifest import DISTORTIONS, PRISTINE
from iqa.evaluation.evaluated import NO_GROUP, Evaluated, order
from iqa.plots.style import PALETTE

#: A marker for every round of the palette, so that 32 clusters still differ.
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Category:
    """One cluster or one group of distortions: which rows it holds and how it is drawn."""

    name: str
    rows: list[int]
    colour: str
    marker: str = "o"


def categories_of(evaluated: Evaluated) -> tuple[list[Category], str, str]:
    """How the pictures are told apart: the categories, what one is called, and the words for a title."""
    if evaluated.clusters is not None:
        words = f"cluster of the mixture (largest of {evaluated.n_clusters} responsibilities)"
        return cluster_categories(evaluated.clusters.tolist(), evaluated.n_clusters), "cluster", words
    return group_categories(evaluated.groups), "distortion group", "distortion group (no mixture)"


def cluster_categories(clusters: Sequence[int], n_clusters: int) -> list[Category]:
    """One category per mixture component, empty ones included."""
    rows: list[list[int]] = [[] for _ in range(n_clusters)]
    for row, cluster in enumerate(clusters):
        rows[cluster].append(row)
    return [
        Category(str(k), rows[k], PALETTE[k % len(PALETTE)], MARKERS[k // len(PALETTE) % len(MARKERS)])
        for k in range(n_clusters)
    ]


def group_categories(groups: Sequence[str]) -> list[Category]:
    """One category per group of distortions that occurs, always in the same colour."""
    names = order(list(groups))
    known = list(dict.fromkeys(DISTORTIONS.values()))
    colours = {name: PALETTE[index] for index, name in enumerate((*known, PRISTINE))}
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row, group in enumerate(groups):
        rows[group].append(row)
    return [Category(pretty(name), rows[name], colours.get(name, PALETTE[0])) for name in names]


def pretty(name: str) -> str:
    """A kind or group of distortion as a reader would write it."""
    if name == NO_GROUP:
        return "all pictures"
    return name.replace("sharpness_contrast", "sharpness/contrast").replace("_", " ")
