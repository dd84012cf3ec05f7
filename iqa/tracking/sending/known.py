"""What a run has already: a process that was killed may have told MLflow more than it saved, or less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def missing(client: MlflowClient, run_id: str, figures: list[list[Any]]) -> list[list[Any]]:
    """Those of `figures` ([name, value, time in ms, step]) for whose step the run has no figure of this name."""
    latest = {each.key: each.step for each in client.get_run(run_id).data._metric_objs}
    # What is beyond a curve's end is new for certain, and needs no request of its own.
    asked = {name for name, _, _, step in figures if step <= latest.get(name, -1)}
    known = {(name, each.step) for name in asked for each in client.get_metric_history(run_id, name)}
    return [entry for entry in figures if (entry[0], entry[3]) not in known]


def forget_error(client: MlflowClient, run: Run) -> None:
    """Take away why the run ended last time."""
    if "error" in run.data.tags:
        client.delete_tag(run.info.run_id, "error")
