"""The confirmation: what a search found, tried again beside its neighbours on splits and seeds that it never saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from iqa.config import ExperimentConfig
from iqa.config.tuning import Choices
from iqa.tuning.planned import PlannedStudy
from iqa.tuning.search import Bench, Observer, ending, final_srcc
from iqa.tuning.space import Space, Values, apply, is_whole, own_values, spread

#: Searched keys whose whole extent is confirmed, besides all choices; of others, whether they matter.
PROFILED = ("training.learning_rate", "model.n_clusters")


@dataclass
class Plan:
    """The settings to confirm, each once.

    Attributes:
        settings: all of them.
        baseline, best: places of the config's own values and of the best trial's.
        axes: searched key -> (value, place) of the settings that differ from the best in that key alone.
    """

    settings: list[Values] = field(default_factory=list)
    baseline: int = 0
    best: int = 0
    axes: dict[str, list[tuple[Any, int]]] = field(default_factory=dict)

    def add(self, values: Values) -> int:
        """The place of `values`, which are put at the end if they are new."""
        if values not in self.settings:
            self.settings.append(values)
        return self.settings.index(values)


def make_plan(config: ExperimentConfig, space: Space, best: Values) -> Plan:
    """What is worth confirming around the best trial's values."""
    plan, own = Plan(), own_values(config, space)
    plan.baseline, plan.best = plan.add(own), plan.add(best)
    for key, part in space.items():
        if key in PROFILED or isinstance(part, Choices):
            whole = not isinstance(part, Choices) and is_whole(key, part, config)
            values = spread(part, config.tuning.range_values, whole=whole)
        else:
            values = [best[key]]
        if key in own and own[key] not in values:
            # The config's own value stays in the running, in its place among the others.
            values.append(own[key])
            values = sorted(values) if not isinstance(part, Choices) else values
        plan.axes[key] = [(value, plan.add({**best, key: value})) for value in values]
    return plan


def confirm(
    config: ExperimentConfig,
    settings: Sequence[Values],
    bench: Bench,
    observer: Observer,
    storage: BaseStorage,
    name: str,
) -> list[list[float | None]]:
    """Train every one of `settings` on `config.tuning.confirmations` splits of the training and validation pictures.

    The splits and seeds are the same for all settings, and not those of the search; the test pictures take no part.

    Returns:
        Validation SRCC [A][S]; None where a training failed.
    """
    splits = range(1, config.tuning.confirmations + 1)
    # Split after split, so that what belongs to one is kept no longer than needed.
    entries = [{"values": values, "split": split} for split in splits for values in settings]
    about = {"settings": list(settings), "splits": len(splits)}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    planned = PlannedStudy(storage, f"{name}, confirmed {digest}", about)

    def run(trial: optuna.Trial) -> float:
        values, split = trial.user_attrs["values"], trial.user_attrs["split"]
        observer.begun(f"split {split}", values)
        try:
            training = bench.trainer(on_split(apply(config, values), split), split)
            for record in training.epochs():
                observer.epoch(record)
            srcc = final_srcc(training)
        except (KeyboardInterrupt, Exception) as error:
            observer.ended(*ending(error))
            raise
        observer.ended("complete")
        return srcc

    planned.plan(len(entries), notes=entries)
    planned.work(run)
    figures: dict[tuple[str, int], float | None] = {
        (json.dumps(trial.user_attrs["values"], sort_keys=True), trial.user_attrs["split"]): trial.value
        for trial in planned.trials()
        if trial.state is TrialState.COMPLETE
    }
    return [[figures.get((json.dumps(values, sort_keys=True), split)) for split in splits] for values in settings]


def on_split(config: ExperimentConfig, split: int) -> ExperimentConfig:
    """`config` with a training seed of its own for each split."""
    seed = config.training.seed + split
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
