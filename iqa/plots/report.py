"""The figures of a report: which there are, and how each is drawn from what was computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from iqa.evaluation.report import Report
from iqa.metrics import LogisticFit
from iqa.plots.clusters import cluster_distribution
from iqa.plots.embedding import features_embedding
from iqa.plots.intervals import intervals
from iqa.plots.portraits import cluster_portraits
from iqa.plots.samples import sample_predictions
from iqa.plots.scatter import predictions_scatter
from iqa.plots.training import training_curves

#: The records of a training, one per epoch, as `EpochRecord.to_dict` gives them.
History = Sequence[Mapping[str, Any]]


def scatter(report: Report, history: History) -> Figure:
    found = report.results["metrics"]
    # JSON knows no NaN.
    known = {name: {key: float("nan") if v is None else v for key, v in part.items()} for name, part in found.items()}
    logistic = report.results["logistic"]
    return predictions_scatter(
        report.evaluated,
        {name: part["value"] for name, part in known.items()},
        {name: (part["low"], part["high"]) for name, part in known.items()},
        LogisticFit.from_dict(logistic),
    )


def clusters(report: Report, history: History) -> Figure:
    return cluster_distribution(report.evaluated)


def portraits(report: Report, history: History) -> Figure | None:
    return None if report.evaluated.clusters is None else cluster_portraits(report.evaluated)


def held(report: Report, history: History) -> Figure | None:
    found = report.results["intervals"]
    return None if found is None else intervals(report.evaluated, found)


def pca(report: Report, history: History) -> Figure:
    explained = report.pca.about["explained_variance_ratio"]
    first, second = (f"component {k} ({share:.1%} of the variance)" for k, share in enumerate(explained, start=1))
    title = f"Features, PCA: two components explain {sum(explained):.1%} of the variance"
    return features_embedding(report.evaluated, report.pca.coordinates, title=title, axis_labels=(first, second))


def tsne(report: Report, history: History) -> Figure | None:
    if report.tsne is None:
        return None
    shown, of = report.tsne.about["n"], len(report.evaluated)
    kept = f"{shown:,} pictures" if shown == of else f"{shown:,} of {of:,} pictures"
    return features_embedding(
        report.evaluated,
        report.tsne.coordinates,
        title=f"Features, t-SNE: perplexity {report.tsne.about['perplexity']:.3g}, {kept}",
        axis_labels=("t-SNE 1", "t-SNE 2"),
        rows=report.tsne.rows,
        ticks=False,
    )


def samples(report: Report, history: History) -> Figure:
    return sample_predictions(report.evaluated)


def curves(report: Report, history: History) -> Figure | None:
    if not history:
        return None
    return training_curves(history, best_epoch=report.results["best_epoch"], caveat=report.evaluated.caveat)


#: Every figure that a report can have, by its file: from the report and the records of training, or None where there
#: is no ground for it. A figure of your own is one more entry.
FIGURES: dict[str, Callable[[Report, History], Figure | None]] = {
    "predictions_scatter.png": scatter,
    "cluster_distribution.png": clusters,
    "clusters.png": portraits,
    "intervals.png": held,
    "features_pca.png": pca,
    "features_tsne.png": tsne,
    "sample_predictions.png": samples,
    "training_curves.png": curves,
}
