"""The figure in which clusters show what they gather, so that a reader can give each a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from iqa.errors import UserError
from iqa.evaluation.evaluated import NO_GROUP, Evaluated
from iqa.plots.categories import Category, cluster_categories, pretty
from iqa.plots.style import GREY, INK, new_figure, styled

#: Clusters that are shown, those of most pictures.
_MOST = 16
#: Pictures of a cluster.
_PICTURES = 6
#: Kinds, and subsets, that are named for a cluster.
_NAMES = 4
_LONGEST_NAME = 22
_BINS = 20
_PALE = "#d3d8de"
#: Columns: words, pictures, scores.
_WIDTHS = (2.6, 6.9, 2.5)
_ROW_HEIGHT = 1.5


@styled
def cluster_portraits(evaluated: Evaluated) -> Figure:
    """For each cluster its most typical pictures, its true scores beside all, and its most frequent kinds and subsets.

    Raises:
        UserError: there is no mixture.
    """
    if evaluated.clusters is None:
        raise UserError("without a mixture there are no clusters to show", fix="set model.n_clusters above 0")
    every = cluster_categories(evaluated.clusters.tolist(), evaluated.n_clusters)
    shown = sorted(every, key=lambda each: (-len(each.rows), int(each.name)))[:_MOST]
    shown = [each for each in shown if each.rows]
    figure = new_figure(
        sum(_WIDTHS),
        _ROW_HEIGHT * len(shown) + 1.0,
        "What each cluster of the mixture gathers, for you to name: its most typical test pictures",
        _note(evaluated, every, shown),
    )
    grid = figure.subplots(len(shown), 3, squeeze=False, width_ratios=_WIDTHS)
    bins = np.linspace(evaluated.true.min(), max(evaluated.true.max(), evaluated.true.min() + 1e-6), _BINS + 1).tolist()
    for (words, pictures, scores), cluster in zip(grid, shown, strict=True):
        _words(words, evaluated, cluster)
        _pictures(pictures, evaluated, cluster)
        _scores(scores, evaluated, cluster, bins)
    grid[0, 2].set_title("true scores (grey: all)", fontsize=9, fontweight="normal")
    grid[-1, 2].set_xlabel(f"true score ({evaluated.score_name})")
    return figure


def typical(evaluated: Evaluated, cluster: int, rows: Sequence[int], number: int = _PICTURES) -> list[int]:
    """The rows of a cluster where its responsibility times the likelihood is largest, most typical first.

    They are of different contents as far as the cluster has so many.
    """
    shares = evaluated.responsibilities
    assert shares is not None
    density = np.log(np.maximum(shares[:, cluster], np.finfo(np.float32).tiny)).astype(np.float64)
    if evaluated.log_likelihood is not None:
        density = density + evaluated.log_likelihood
    contents = evaluated.table["content"].astype(str).to_numpy()
    ranked = sorted(rows, key=lambda row: (-density[row], row))
    seen: Counter[str] = Counter()
    rounds = {}
    for row in ranked:  # the first of each content, then the second of each
        rounds[row] = seen[contents[row]]
        seen[contents[row]] += 1
    return sorted(ranked, key=lambda row: rounds[row])[:number]


def frequent(labels: Sequence[str], rows: Sequence[int], number: int = _NAMES) -> list[tuple[str, float, float]]:
    """The most frequent labels among rows: each with its share there and among all; none where all have one label."""
    everywhere = Counter(labels)
    if len(everywhere) < 2:
        return []
    here = Counter(labels[row] for row in rows)
    ranked = sorted(here.items(), key=lambda pair: (-pair[1], everywhere[pair[0]], pair[0]))[:number]
    return [(label, count / len(rows), everywhere[label] / len(labels)) for label, count in ranked]


def _note(evaluated: Evaluated, every: Sequence[Category], shown: Sequence[Category]) -> str:
    empty = sum(not each.rows for each in every)
    left_out = len(every) - len(shown) - empty
    parts = [
        "Pictures of the largest responsibility times likelihood, of different contents where there are; "
        "kinds and subsets by their share of the cluster, in brackets their share of all pictures."
    ]
    if left_out:
        parts.append(f"{left_out} smaller clusters are not shown.")
    if empty:
        parts.append(f"{empty} of {len(every)} clusters hold no test picture.")
    return " ".join(parts) + (f"\n{evaluated.caveat}" if evaluated.caveat else "")


def _words(axes: Axes, evaluated: Evaluated, cluster: Category) -> None:
    axes.axis("off")
    count = len(cluster.rows)
    lines = [f"{count:,} pictures, {count / len(evaluated):.0%}; mean score {evaluated.true[cluster.rows].mean():.2f}"]
    named = [frequent(labels, cluster.rows) for labels in (evaluated.kinds, evaluated.subsets)]
    room = _NAMES if not all(named) else _NAMES // 2
    for found in named:
        for label, share, overall in found[:room]:
            name = "no kind or subset" if label == NO_GROUP else pretty(label)
            name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
            lines.append(f"{name}  {share:.0%} ({overall:.0%})")
    axes.text(0, 0.98, f"cluster {cluster.name}", fontsize=11, fontweight="bold", color=cluster.colour, va="top")
    axes.text(0, 0.80, "\n".join(lines), fontsize=8.5, color=INK, va="top", linespacing=1.3)


def _pictures(axes: Axes, evaluated: Evaluated, cluster: Category) -> None:
    axes.axis("off")
    for place, row in enumerate(typical(evaluated, int(cluster.name), cluster.rows)):
        picture = evaluated.thumbnail(row)
        height, width = np.array(picture.shape[:2]) / max(picture.shape[:2])
        left, bottom = place * 1.04 + (1 - width) / 2, (1 - height) / 2
        axes.imshow(
            picture,
            extent=(left, left + width, bottom, bottom + height),
            # Small pictures are shown pixel by pixel: smoothing would hide the very distortions that are scored.
            interpolation="nearest" if max(picture.shape[:2]) < 128 else "antialiased",
        )
    axes.set(xlim=(0, 1.04 * _PICTURES), ylim=(0, 1), aspect="equal", anchor="W")


def _scores(axes: Axes, evaluated: Evaluated, cluster: Category, bins: list[float]) -> None:
    for rows, colours in (
        (slice(None), {"color": _PALE}),
        (cluster.rows, {"histtype": "step", "color": cluster.colour, "linewidth": 1.6}),
    ):
        values = evaluated.true[rows]
        axes.hist(values, bins=bins, weights=np.full(len(values), 1 / len(values)), **colours)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(colors=GREY)
