"""What a study costs: trials per minute against the same trainings as separate commands, and the share of tracking.

    python benchmarks/tuning.py [--config C] [--trials 20] [--separate 4] [--section.key value ...]

In one run: a search of N trials without pruning, with storage and MLflow as a user has them; the same trainings
again in one process without either; and some of the same trainings as `train_gpu.py` commands, one after the other,
evenly chosen. Pictures and features are in the cache before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from iqa.cli import run_command
from iqa.config import ExperimentConfig
from iqa.config_file import load_config, override_config
from iqa.tracking import open_run
from iqa.tuning.search import Search
from iqa.tuning.space import apply
from iqa.tuning.storage import open_storage
from iqa.tuning.workbench import Workbench
from pipelines.tune_optuna import Teller

ROOT = Path(__file__).resolve().parent.parent


def search_seconds(config: ExperimentConfig, folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a study's search from its first trial to its last, and the values that it tried."""
    storage = open_storage(f"sqlite:///{folder}/optuna.db", 20)
    bench, teller = Workbench(config), Teller(config)
    bench.trainer(config)
    search = Search(config, bench, teller, storage, "timed")
    with open_run(config, role="tune", name="timed", directory=folder / "study") as tracker:
        search.plan()
        teller.follow(tracker, search.planned, config.tuning.trials)
        started = time.perf_counter()
        search.work()
    seconds = time.perf_counter() - started  # what MLflow still had to be told included
    teller.close()
    return seconds, [dict(trial.params) for trial in search.planned.trials()]


def bare_seconds(config: ExperimentConfig, tried: list[dict[str, Any]]) -> float:
    """Seconds of the same trainings without storage and MLflow."""
    bench = Workbench(config)
    bench.trainer(config)
    started = time.perf_counter()
    for values in tried:
        for _ in bench.trainer(apply(config, values)).epochs():
            pass
    return time.perf_counter() - started


def command_seconds(config: ExperimentConfig, values: dict[str, Any], folder: Path) -> float:
    """Seconds of one of them as a command of its own, start and tracking included."""
    path = folder / "separate.json"
    path.write_text(json.dumps(apply(config, values).to_dict()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipelines.train_gpu", "--config", str(path), "--output", str(folder / "experiments")],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/quick_test.json")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--separate", type=int, default=4)
    options, overrides = parser.parse_known_args(arguments)
    config = load_config(options.config, overrides)
    config = override_config(config, ["--tuning.trials", str(options.trials), "--tuning.prune", "false"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        Workbench(config).trainer(config)
        study, tried = search_seconds(config, folder)
        bare = bare_seconds(config, tried)
        step = max(1, len(tried) // options.separate)
        separate = [command_seconds(config, values, folder) for values in tried[::step][: options.separate]]
    count = len(tried)
    alone = sum(separate) / len(separate)
    print(f"\n{config.experiment_name}: {count} trials of {config.training.epochs} epochs")
    print(f"  study           {60 * count / study:8.1f} trials/min  ({study / count:.2f} s a trial)")
    print(f"  bare trainings  {60 * count / bare:8.1f} trials/min  ({bare / count:.2f} s)")
    print(f"  commands        {60 / alone:8.1f} trials/min  ({alone:.2f} s, {len(separate)} timed)")
    print(f"  study / commands: {alone * count / study:.1f} times")
    print(f"  storage and tracking: {100 * (1 - bare / study):.1f} % of the study's time")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
