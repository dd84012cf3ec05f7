"""How much quicker is a study than the same trainings as commands, and what share of it do storage and MLflow take?

    python benchmarks/tuning_cost.py --config biq2021_lite0 --data.root BIQ2021 --trials 60 --rounds 2
                                                                        # about 10 minutes on two cores

In one run, pictures and features cached before anything is timed. First the search of a study as a user runs it, with
several workers and its pruning, by `iqa tune` itself, from its first trial's start to its last one's end; then the
same with nothing pruned. Then, by turns, a search in one process, with storage and MLflow as a user has them, nothing
pruned, and the same trainings in one process without either. At last some of the trainings of the study as it is run
as `iqa train` commands, one after the other, evenly chosen: a command knows nothing to be pruned by. What storage
and tracking take is told twice: as the time of a search that is not spent in its trainings, with what the thread that
writes to MLflow computes beside them; and as how much slower the search is than the trainings are alone, which other
programs of the machine blur. Any setting of the config can be given by its dotted name.
"""

from __future__ import annotations

from helpers.command import ROOT, parser_of

# isort: split

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import optuna
import torch
from helpers.timing import machine_line

from iqa.api.calls import Terminal
from iqa.api.trials import TrialReporter
from iqa.commands.cli import run_command
from iqa.config import ExperimentConfig
from iqa.config.reading import load_config, override_config
from iqa.errors import IqaError
from iqa.processes import cores
from iqa.records import EpochRecord
from iqa.tracking import open_run
from iqa.training.loop import Trainer
from iqa.tuning.search import Search
from iqa.tuning.space import apply
from iqa.tuning.storage import open_storage, quietly
from iqa.tuning.workbench import Workbench

T = TypeVar("T")


class Clocked:
    """A workbench that knows how many seconds its trainings took."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self.seconds = bench, 0.0

    @property
    def training_pictures(self) -> int:
        return self._bench.training_pictures

    def trainer(self, config: ExperimentConfig, split: int | None = None) -> Trainer:
        trainer = self._spend(lambda: self._bench.trainer(config, split))
        epochs = trainer.epochs()

        def clocked() -> Iterator[EpochRecord]:
            while (record := self._spend(lambda: next(epochs, None))) is not None:
                yield record

        trainer.epochs = clocked  # type: ignore[method-assign]
        return trainer

    def _spend(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True)
class Spent:
    """Seconds of a study's search from its first trial to its last, and what it tried."""

    whole: float
    trainings: float
    #: Of a processor, for the thread that writes to MLflow.
    tracking: float
    tried: list[dict[str, Any]]

    @property
    def share(self) -> float:
        """Of storage and tracking, in percent: as if nothing that MLflow's thread does went on beside a training."""
        return 100 * (self.whole - self.trainings + self.tracking) / self.whole


@dataclass(frozen=True)
class Measured:
    """What was timed, in seconds.

    Attributes:
        trials: of the study as it is run.
        pruned, unpruned: the search of several workers, as it is run and with nothing pruned.
        alone, bare: in one process, round by round: the search, and its trainings without storage and MLflow.
        separate: trainings as commands.
    """

    trials: list[optuna.trial.FrozenTrial]
    pruned: float
    unpruned: float
    alone: list[Spent]
    bare: list[float]
    separate: list[float]


def search_seconds(config: ExperimentConfig, folder: Path, name: str) -> Spent:
    """Run a search in this process, with storage and MLflow."""
    storage = open_storage(f"sqlite:///{folder}/{name}.db", 20)
    bench, reporter = Clocked(Workbench(config)), TrialReporter(config, Terminal(verbose=True))
    bench.trainer(config)
    search = Search(config, bench, reporter, storage, name)
    with open_run(config, role="tune", name=name, directory=folder / name) as tracker:
        search.plan()
        reporter.follow(tracker, search.planned, config.tuning.trials)
        bench.seconds, started = 0.0, time.perf_counter()
        search.work()
        written = sum(processor_seconds(thread) for thread in threading.enumerate() if thread.name == "tracking")
    seconds = time.perf_counter() - started  # what MLflow still had to be told included
    reporter.close()
    return Spent(seconds, bench.seconds, written, [dict(trial.params) for trial in search.planned.trials()])


def processor_seconds(thread: threading.Thread) -> float:
    """What a living thread has computed so far."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))


def bare_seconds(config: ExperimentConfig, tried: list[dict[str, Any]]) -> float:
    """Seconds of the same trainings without storage and MLflow."""
    bench = Workbench(config)
    bench.trainer(config)
    started = time.perf_counter()
    for values in tried:
        for _ in bench.trainer(apply(config, values)).epochs():
            pass
    return time.perf_counter() - started


def crew_seconds(
    config: ExperimentConfig, workers: int, folder: Path, name: str
) -> tuple[float, list[optuna.trial.FrozenTrial]]:
    """Seconds of a search by `workers` processes, from first trial to last, and its trials."""
    path, url = folder / f"{name}.json", f"sqlite:///{folder}/{name}.db"
    path.write_text(json.dumps(config.to_dict()))
    arguments = ["--config", str(path), "--storage", url, "--study", name, "--workers", str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "iqa", "tune", *arguments, "--output", str(folder / name)],
        cwd=folder,
        env=surroundings(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            time.sleep(1)
            trials = finished(url, name)
            if len(trials) >= config.tuning.trials:
                starts, ends = (
                    [getattr(trial, f"datetime_{end}") for trial in trials] for end in ("start", "complete")
                )
                return float((max(ends) - min(starts)).total_seconds()), trials
    finally:
        process.terminate()
        process.wait()
    raise IqaError("the study's command ended before its search was done")


def finished(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """The finished trials of the study `name` at `url`, as far as there is one yet."""
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(url, 20))
    except KeyError:
        return []
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}


def command_seconds(config: ExperimentConfig, values: dict[str, Any], folder: Path) -> float:
    """Seconds of one of them as a command of its own, start and tracking included."""
    path = folder / "separate.json"
    path.write_text(json.dumps(apply(config, values).to_dict()))
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "iqa", "train", "--config", str(path), "--output", str(folder / "experiments")],
        cwd=folder,
        env=surroundings(folder),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def measure(config: ExperimentConfig, options: argparse.Namespace) -> Measured:
    """Search with workers, then in one process beside bare trainings, then as commands."""
    whole = override_config(config, ["--tuning.prune", "false"])
    alone, bare = list[Spent](), list[float]()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        Workbench(config).trainer(config)
        pruned, trials = crew_seconds(config, options.workers, folder, "pruned")
        unpruned, _ = crew_seconds(whole, options.workers, folder, "whole")
        for number in range(options.rounds):
            alone.append(search_seconds(whole, folder, f"round{number}"))
            bare.append(bare_seconds(whole, alone[-1].tried))
        chosen = trials[:: max(1, len(trials) // options.separate)][: options.separate]
        separate = [command_seconds(config, trial.params, folder) for trial in chosen]
    return Measured(trials, pruned, unpruned, alone, bare, separate)


def tell(config: ExperimentConfig, workers: int, found: Measured) -> None:
    """The table, and what storage and tracking take."""
    count, command = len(found.trials), median(found.separate)
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in found.trials)
    epochs = sum(len(trial.intermediate_values) for trial in found.trials) / count
    print(f"\n{config.experiment_name}: {count} trials of {config.training.epochs} epochs")
    print(f"  as a study runs them {pruned} were pruned; {epochs:.1f} epochs on average")
    rows = {
        f"study as it is run, {workers} workers": found.pruned / count,
        f"nothing pruned, {workers} workers": found.unpruned / count,
        f"commands ({len(found.separate)} timed: {_told(found.separate, 's')})": command,
    }
    if found.alone:
        rows |= {
            "nothing pruned, one process": median(spent.whole for spent in found.alone) / count,
            "bare trainings": median(found.bare) / count,
        }
    for what, seconds in rows.items():
        print(f"  {what:30} {60 / seconds:8.1f} trials/min  {seconds:7.3f} s a trial  {command / seconds:5.1f} times")
    if found.alone:
        tell_share(found)


def tell_share(found: Measured) -> None:
    """What storage and tracking take of a search in one process, both ways."""
    slower = [100 * (1 - bare / spent.whole) for spent, bare in zip(found.alone, found.bare, strict=True)]
    share = _told([spent.share for spent in found.alone], "%")
    computing = _told([100 * spent.tracking / spent.whole for spent in found.alone], "%")
    print(f"  storage and tracking: {share} of the search in one process, of which")
    print(f"    MLflow's thread computes {computing}")
    print(f"    the search is slower than the trainings alone by {_told(slower, '%')}")


def _told(figures: list[float], unit: str) -> str:
    return f"{median(figures):.1f} {unit} ({', '.join(f'{each:.1f}' for each in figures)})"


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--config", default="quick_test", help="file or standard experiment (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=20, help="of a study (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=cores(), help="of a study (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="in one process; 0 leaves these out (default: 3)")
    parser.add_argument("--separate", type=int, default=4, help="trainings as commands (default: %(default)s)")
    options, overrides = parser.parse_known_args(arguments)
    config = override_config(load_config(options.config, overrides), ["--tuning.trials", str(options.trials)])
    print(machine_line(torch.device("cpu")), flush=True)
    with quietly():
        found = measure(config, options)
    tell(config, options.workers, found)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
