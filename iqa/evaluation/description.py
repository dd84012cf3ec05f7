"""What a run says of itself in MLflow: a few lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iqa.config import ExperimentConfig

MEASURES = ("srcc", "plcc", "krcc", "rmse")
MOST_SUBSETS = 20


def description(
    results: dict[str, Any],
    config: ExperimentConfig,
    *,
    picture: str = "",
    settings: str = "",
    members: Sequence[str] = (),
) -> str:
    """The figures of merit with their intervals, what was trained on what, and how to do it again.

    Args:
        results: what test_results.json holds.
        picture: the scatter plot, in Markdown.
        settings: address of config.json.
        members: the experiments that were judged together, where there are several.
    """
    metrics = results["metrics"]
    rows = [f"| {name.upper()} | {_figure(metrics[name]['value'])} | {_interval(metrics[name])} |" for name in MEASURES]
    subsets = [
        f"| {_cell(name)} | {part['n']} | {_figure(part['srcc'])} |"
        for name, part in list(results["by_subset"].items())[:MOST_SUBSETS]
    ]
    parts = [
        f"**{results['n']} test pictures, judged against {results['score_name']}**"
        + (f" ({results['caveat']})" if results["caveat"] else ""),
        "\n".join(["| | test | 95 % interval |", "|---|---|---|", *rows]),
        "\n".join(["| subset | pictures | SRCC |", "|---|---|---|", *subsets]) if len(subsets) > 1 else "",
        f"The mean of {len(members)} experiments: {', '.join(members)}." if members else _trained(config),
        picture,
        f"The same again:\n\n    iqa ensemble --experiments {' '.join(members)}" if members else "",
        "" if members else _again(config, settings),
    ]
    return "\n\n".join(part for part in parts if part)


def untested(config: ExperimentConfig, facts: dict[str, float], *, settings: str, folder: str) -> str:
    """What a run says from the end of its training until it is tested.

    Args:
        facts: figures of the whole training.
        settings: address of config.json.
        folder: of the experiment.
    """
    reached = _figure(facts.get("best_val_srcc"))
    parts = [
        f"**Validation SRCC {reached}** at epoch {facts['best_epoch']:.0f}; not tested yet:",
        f"    iqa evaluate --experiment {folder}",
        _trained(config),
        _again(config, settings),
    ]
    return "\n\n".join(parts)


def repeats_description(summary: dict[str, Any], children: str | None) -> str:
    """The figures of merit over several splits.

    Args:
        summary: what repeats.json holds.
        children: address of the table of the splits' own runs.
    """
    rows = [
        f"| {name.upper()} | {_figure(part['median'])} | {_figure(part['low'])} to {_figure(part['high'])} |"
        for name, part in summary["test"].items()
        if name in MEASURES
    ]
    count = f"{len(summary['splits'])} splits"
    count = f"[{count}]({children})" if children else count
    return "\n".join([f"**{count}**, each trained and tested", "", "| | median | range |", "|---|---|---|", *rows])


def _trained(config: ExperimentConfig) -> str:
    model = config.model
    return (
        f"{model.backbone}{', frozen' * model.freeze_backbone}, {model.n_clusters} clusters, trained on "
        f"{config.data.dataset} for up to {config.training.epochs} epochs."
    )


def _again(config: ExperimentConfig, settings: str) -> str:
    file = f"[config.json]({settings})" if settings else "`config.json`"
    return (
        f"The same again, with {file} of this run's artifacts:\n\n    iqa train --config config.json\n"
        f"    iqa evaluate --experiment experiments/{config.experiment_name}"
    )


def _cell(name: str) -> str:
    return " ".join(name.split()).replace("|", "\\|")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(metric: dict[str, Any]) -> str:
    if metric["low"] is None or metric["high"] is None:
        return "too few contents"
    return f"{metric['low']:.3f} to {metric['high']:.3f}"
