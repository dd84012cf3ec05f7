"""`iqa.train`: one experiment trained, in a folder of its own and one MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iqa.api.calls import Terminal, as_found, logged_here, places
from iqa.api.repeats import forecast_of_splits, repeat
from iqa.api.results import RepeatsResult, TrainingResult
from iqa.api.running import run_training
from iqa.config import ExperimentConfig
from iqa.config.reading import read_config, with_settings
from iqa.distributed.group import is_first, joined, world_size
from iqa.errors import UserError
from iqa.estimate import about
from iqa.tracking import check_place
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.losses import Loss, training_loss
from iqa.training.session import Session


@as_found
def train(
    config: str | Path | Mapping[str, Any] | ExperimentConfig,
    *,
    settings: Mapping[str, Any] | None = None,
    output: str | Path = "experiments",
    resume: bool = False,
    repeats: int = 1,
    loss: Loss = training_loss,
    verbose: bool = False,
) -> TrainingResult | RepeatsResult:
    """Train an experiment; with `repeats`, train and test it on several splits.

    Writes `output`/<experiment_name>/ and one MLflow run. An earlier experiment of the name is kept aside. In each of
    several processes that torchrun has started, the same call divides the work among them; the first one writes.

    Args:
        config: a JSON file, the name of a standard experiment, nested values, or a config object.
        settings: of the config, by their dotted names: {"training.epochs": 20}.
        resume: continue where a training of this name stopped.
        repeats: splits; with more than one, each is tested too.
        loss: what a step lessens: prediction, true scores [B] on 0-1 and the config's weights -> a scalar.
        verbose: print what the command prints.

    Raises:
        UserError: settings, data or weights that cannot be used; the folder is as it was.
        IqaError: the training failed; what was saved stays.
    """
    read = read_config(config, settings)
    if repeats < 1:
        raise UserError("--repeats counts splits", got=repeats, expected="1 or more")
    with joined():
        if not is_first():
            read, verbose = with_settings(read, {"tracking.enabled": False}), False
        check_place(read)
        terminal, folder = Terminal(verbose), Path(output) / read.experiment_name
        if verbose:
            _announce(read, repeats, folder, terminal)
        if repeats > 1:
            return repeat(read, Path(output), repeats, resume=resume, loss=loss, terminal=terminal)
        session = Session(read, ExperimentFolder(folder), resume=resume, loss=loss, progress=terminal.bars)
        return run_training(session, terminal=terminal)


def _announce(config: ExperimentConfig, repeats: int, folder: Path, terminal: Terminal) -> None:
    """The first line: what will be done, what it takes, where it writes."""
    load = forecast_of_splits(config, repeats, logged_here=logged_here(config))
    splits = f", {repeats} splits, each tested" if repeats > 1 else ""
    splits += f", by {world_size()} processes" if world_size() > 1 else ""
    what = f"{about(config)} on {config.data.dataset} ({load.pictures}), {config.training.epochs} epochs{splits}"
    terminal.begins("train", what, load, places(config, folder, load))
