"""Experiment tracking. No other package imports mlflow, and nothing here does before a run is opened."""

from iqa.tracking.checks import check_place
from iqa.tracking.names import Figures, metric_names
from iqa.tracking.notes import fetch_experiment, read_run_note, write_run_note
from iqa.tracking.run import open_run, standard_tags
from iqa.tracking.tracker import Tracker, told_settings

__all__ = [
    "Figures",
    "Tracker",
    "check_place",
    "fetch_experiment",
    "metric_names",
    "open_run",
    "read_run_note",
    "standard_tags",
    "told_settings",
    "write_run_note",
]
