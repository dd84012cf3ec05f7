"""How a study goes, trial by trial, told to the terminal and to MLflow."""

from __future__ import annotations

import sys
import time
from typing import Any

from iqa.api.calls import Terminal
from iqa.config import ExperimentConfig
from iqa.errors import first_line
from iqa.progress import progress_bar
from iqa.records import EpochRecord
from iqa.tracking import Tracker, standard_tags
from iqa.tuning.planned import PlannedStudy

#: What MLflow is told of an epoch: a study has many, and every figure of each would cost more than a short epoch.
CURVES = ("train_loss", "val_loss", "val_srcc", "val_plcc", "learning_rate")
#: How the states of a trial stand in MLflow, which knows no pruned runs.
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}


class TrialReporter:
    """Tells the terminal and MLflow of trials: a child run for each."""

    def __init__(self, config: ExperimentConfig, terminal: Terminal) -> None:
        self._config, self._terminal = config, terminal
        self._tracker: Tracker | None = None
        self._child: Tracker | None = None
        self._bar: Any = None
        self._study: PlannedStudy | None = None
        self._best: float | None = None
        #: Pages of the runs that this process opened, by name.
        self.pages: dict[str, str | None] = {}

    def follow(self, tracker: Tracker, study: PlannedStudy | None, budget: int) -> None:
        """Open runs under `tracker`'s, and show how far `study` is."""
        self.close()
        self._tracker, self._study = tracker, study
        label = "search" if study else "confirmation"
        self._bar = progress_bar(total=budget or None, unit="trials", desc=label, shown=self._terminal.bars)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def begun(self, name: str, values: dict[str, Any]) -> None:
        self._name, self._values, self._epochs = name, values, 0
        self._best, self._started = None, time.monotonic()
        self._count()
        if self._tracker is not None:
            self._child = self._tracker.open_child(name, standard_tags(self._config, "trial"), values)
            self.pages[name] = self._tracker.run_link(self._child.run_id)

    def epoch(self, record: EpochRecord) -> None:
        self._epochs += 1
        if record.val_srcc is not None:
            self._best = max(record.val_srcc, -1.0 if self._best is None else self._best)
        if self._child is not None:
            known = record.metrics()
            self._child.log_metrics({name: known.get(name) for name in CURVES}, step=record.epoch)

    def ended(self, state: str, reason: str | None = None) -> None:
        if self._child is not None:
            self._child.log_metrics({"best_val_srcc": self._best})
            error = first_line(reason) if reason else None
            self._child.close_child(STATUS[state], {"trial_state": state, "error": error})  # type: ignore[arg-type]
        values = ", ".join(f"{key.partition('.')[2]} {_short(value)}" for key, value in self._values.items())
        srcc = "  -   " if self._best is None else f"{self._best:.4f}"
        seconds = time.monotonic() - self._started
        line = f"{self._name:<10} {state:<8} SRCC {srcc}  {self._epochs} epochs {seconds:.1f} s  {values}"
        if self._terminal.verbose:
            self._bar.write(line + (f"\n  {reason}" if state == "failed" and reason else ""), file=sys.stdout)
        self._count(1)

    def _count(self, done: int = 0) -> None:
        """The bar counts what all workers had done when this one took its trial, and what it did since."""
        if self._study is None:
            self._bar.update(done)
        else:
            self._bar.n = self._study.finished + done
            self._bar.refresh()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
