"""What a run says of itself in MLflow: a few lines of Markdown."""

from __future__ import annotations

from typing import Any

from iqa.config import ExperimentConfig

#: The tag that MLflow shows as a run's description.
NOTE = "mlflow.note.content"
MEASURES = ("srcc", "plcc", "krcc", "rmse")
MOST_SUBSETS = 20


def description(results: dict[str, Any], config: ExperimentConfig) -> str:
    """The figures of merit with their intervals, what was trained on what, and how to do it again.

    Args:
        results: what test_results.json holds.
    """
    metrics = results["metrics"]
    rows = [f"| {name.upper()} | {_figure(metrics[name]['value'])} | {_interval(metrics[name])} |" for name in MEASURES]
    subsets = [
        f"| {_cell(name)} | {part['n']} | {_figure(part['srcc'])} |"
        for name, part in list(results["by_subset"].items())[:MOST_SUBSETS]
    ]
    model, data = config.model, config.data
    parts = [
        f"**{results['n']} test pictures, judged against {results['score_name']}**"
        + (f" ({results['caveat']})" if results["caveat"] else ""),
        "\n".join(["| | test | 95 % interval |", "|---|---|---|", *rows]),
        "\n".join(["| subset | pictures | SRCC |", "|---|---|---|", *subsets]) if len(subsets) > 1 else "",
        f"{model.backbone}{', frozen' * model.freeze_backbone}, {model.n_clusters} clusters, trained on {data.dataset} "
        f"for up to {config.training.epochs} epochs.",
        "The same again: `iqa train --config config.json`, with `config.json` from this run's artifacts.",
    ]
    return "\n\n".join(part for part in parts if part)


def _cell(name: str) -> str:
    return " ".join(name.split()).replace("|", "\\|")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(metric: dict[str, Any]) -> str:
    if metric["low"] is None or metric["high"] is None:
        return "too few contents"
    return f"{metric['low']:.3f} to {metric['high']:.3f}"
