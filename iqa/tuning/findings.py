"""A whole study, from search to recommendation, and what it writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage

from iqa.config import ExperimentConfig
from iqa.tuning.confirm import confirm, make_plan
from iqa.tuning.recommend import (
    ENOUGH_FOR_IMPORTANCE,
    against_guide,
    axis_advice,
    difference,
    epochs_that_pay,
    recommended_values,
    summary_of,
)
from iqa.tuning.search import Bench, Observer, Search, as_rows
from iqa.tuning.space import apply, own_values, set_value


def conclude(search: Search, bench: Bench, observer: Observer, storage: BaseStorage) -> dict[str, Any]:
    """Confirm what a finished search found and recommend: what recommendations.json holds.

    Every worker that calls it takes its share of the trainings and comes to the same end.

    Raises:
        IqaError: the best trial's settings cannot be trained again.
    """
    config, space, completed = search.config, search.space, search.completed()
    best, own = dict(completed[0].params), own_values(config, space)
    plan = make_plan(config, space, best)
    name = search.planned.name
    figures = confirm(config, plan.settings, bench, observer, storage, name)
    axes = {key: axis_advice(key, plan, figures, own) for key in plan.axes}
    values = recommended_values(axes, best)
    if values in plan.settings:
        tuned = figures[plan.settings.index(values)]
    else:
        (tuned,) = confirm(config, [values], bench, observer, storage, name)
    baseline = figures[plan.baseline]
    spreads = [part["std"] for axis in axes.values() for part in axis["evidence"] if part["std"] is not None]
    rows = as_rows(search.planned.trials())
    curves = [row["curve"] for row in sorted(rows, key=lambda row: -(row["val_srcc"] or 0)) if row["val_srcc"]]
    noise = float(np.median(spreads)) / config.tuning.confirmations**0.5 if spreads else 0.0
    return {
        "study": name,
        "experiment": config.experiment_name,
        "backbone": config.model.backbone,
        "frozen": config.model.freeze_backbone,
        "dataset": config.data.dataset,
        "training_pictures": bench.training_pictures,
        "epochs": config.training.epochs,
        "trials": {state: sum(row["state"] == state for row in rows) for state in ("complete", "pruned", "fail")},
        "confirmation": {"settings": len(plan.settings), "splits": config.tuning.confirmations},
        "values": values,
        "baseline": {"values": own, **summary_of(baseline)},
        "best_trial": {"values": best, "val_srcc": completed[0].value, **summary_of(figures[plan.best])},
        "tuned": summary_of(tuned),
        "difference": difference(tuned, baseline),
        "settings": axes,
        "guide": against_guide(config, axes, bench.training_pictures),
        "epochs_that_pay": epochs_that_pay(curves, config.training.epochs, noise),
        "importances": importances(search),
    }


def importances(search: Search) -> dict[str, Any]:
    """Each setting's share of the differences among trials (PED-ANOVA), and how far that can be believed."""
    completed = len(search.completed())
    try:
        shares = optuna.importance.get_param_importances(search.planned.study)
    except (RuntimeError, ValueError):
        shares = {}  # too few trials, or all alike
    enough = completed >= ENOUGH_FOR_IMPORTANCE
    return {
        "shares": {key: float(value) for key, value in shares.items()},
        "note": f"over {completed} completed trials"
        if enough
        else f"describes {completed} completed trials; below {ENOUGH_FOR_IMPORTANCE} it says nothing of others",
    }


def tuned_config(config: ExperimentConfig, findings: dict[str, Any], name: str) -> dict[str, Any]:
    """`config` with the recommended values, under another experiment name.

    Of the other settings, those at their default are left out.
    """
    tuned = apply(config, findings["values"])
    values: dict[str, Any] = tuned.model_dump(mode="json", exclude_defaults=True, exclude={"tuning"})
    for key, value in {**findings["values"], "experiment_name": name}.items():
        set_value(values, key, value)
    return values


def as_markdown(findings: dict[str, Any]) -> str:
    """The recommendation for a reader: value, range, evidence, and the guide's word beside it."""
    trials, confirmed = findings["trials"], findings["confirmation"]
    lines = [
        f"# Recommendations of the study {findings['study']}",
        "",
        f"{findings['backbone']}{' (frozen)' if findings['frozen'] else ''} on {findings['dataset']}, "
        f"{findings['training_pictures']} training pictures, {findings['epochs']} epochs.",
        f"{sum(trials.values())} trials ({trials['complete']} complete, {trials['pruned']} pruned, "
        f"{trials['fail']} failed); {confirmed['settings']} settings confirmed on {confirmed['splits']} other splits "
        "and seeds. SRCC is that of validation pictures; the test pictures took no part.",
        "",
        "| setting | recommended | as good | the config's own | guide | the guide's word is |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    own = findings["baseline"]["values"]
    for key, axis in findings["settings"].items():
        guide = findings["guide"].get(key, {})
        said = guide.get("guide", "-")
        said = f"{said[0]} to {said[1]}" if isinstance(said, list) else said
        lines.append(
            f"| {key} | {axis['value']} | {_good(axis)} | {own.get(key, '-')} | {said} | {guide.get('verdict', '-')} |"
        )
    change = findings["difference"]
    lines += [
        "",
        f"Tuned {_figure(findings['tuned'])}, baseline {_figure(findings['baseline'])}: {change['verdict']}"
        + (
            f" ({change['mean']:+.4f}, 95 % interval {change['low']:+.4f} to {change['high']:+.4f})."
            if change["mean"] is not None
            else "."
        ),
        "",
        _epochs(findings["epochs_that_pay"]),
    ]
    for key, axis in findings["settings"].items():
        lines += [
            "",
            f"## {key}",
            "",
            "No difference found."
            if axis["no_difference"]
            else f"Differences below {axis['margin']:.4f} may be chance.",
            "",
            "| value | validation SRCC | splits | as good as the best |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {part['value']} | {_figure(part)} | {part['splits']} | {'yes' if part['good'] else 'no'} |"
            for part in axis["evidence"]
        ]
    shares = findings["importances"]["shares"]
    if shares:
        lines += ["", f"## Importances ({findings['importances']['note']})", ""]
        lines += [f"- {key}: {share:.2f}" for key, share in shares.items()]
    return "\n".join(lines) + "\n"


def header(findings: dict[str, Any], command: str) -> str:
    """The comment at the head of the tuned config: where it comes from."""
    trials, change = findings["trials"], findings["difference"]
    return "\n".join(
        f"// {line}"
        for line in (
            f"Recommended by the study {findings['study']}: {sum(trials.values())} trials of "
            f"{findings['backbone']} on {findings['dataset']}, "
            f"confirmed on {findings['confirmation']['splits']} other splits.",
            f"Validation SRCC {_figure(findings['tuned'])}, baseline {_figure(findings['baseline'])}: "
            f"{change['verdict']}.",
            f"Made by: {command}",
        )
    )


def _good(axis: dict[str, Any]) -> str:
    if axis["no_difference"]:
        return "all tried: no difference found"
    if axis["range"] and len(axis["good"]) > 1:
        return f"{axis['range'][0]} to {axis['range'][1]}"
    return ", ".join(str(value) for value in axis["good"])


def _figure(part: dict[str, Any]) -> str:
    if part["mean"] is None:
        return "failed"
    return f"{part['mean']:.4f}" + ("" if part["std"] is None else f" +- {part['std']:.4f}")


def _epochs(paying: dict[str, Any]) -> str:
    if paying["value"] is None:
        return "No trial says how many epochs pay."
    guide = ", ".join(f"{kind} {low} to {high}" for kind, (low, high) in paying["guide"].items())
    told = f"(seen on {paying['trials']} leading trials; guide: {guide})"
    if paying["still_rising"]:
        return f"Epochs: validation SRCC still rose at the end of {paying['planned']}; more may pay {told}."
    return f"Epochs: after {paying['value']} of {paying['planned']} the rest gains less than chance {told}."
