"""Commands that are killed and begun again, and what is then compared: each in a process forked off one that has
imported everything, so that a kill meets the work and not Python's start."""

from __future__ import annotations

import csv
import importlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

#: Of a record, what differs from one training to the next of the same numbers.
TIMES = {"seconds", "images_per_second", "training_seconds", "median_images_per_second", "seconds_per_epoch"}
#: What a comparison and a study end in.
FINDINGS = ("comparison.json", "recommendations.json")
#: Groups of figures that are curves: one figure a step.
CURVES = ("epoch/", "mixture/", "speed/images_per_second", "speed/seconds")
#: Among them, figures of a test, which one that is done again tells again.
TOLD_AGAIN = "mixture/test_"
#: Digits in which figures of tests agree: bounds of the fitted logistic go by the order in which LAPACK sums, and that
#: by where memory lies.
DIGITS = 10
#: Roles of runs that are begun anew after a kill; those that were killed stay, as KILLED.
ANEW = ("evaluate",)
#: Role of runs of which a kill ends one that is begun anew under another name.
GATHERED = "trial"
#: Seconds after which an attempt hangs.
HANGS = 300.0


@dataclass(frozen=True)
class Kind:
    """A kind of work: the command that is killed, what it is begun again with, and what follows it unharmed."""

    name: str
    command: Sequence[str]
    again: Sequence[str] = ()
    then: Sequence[str] = ()


@dataclass
class Tally:
    """How one kind fared."""

    kind: str
    kills: int = 0
    stories: int = 0
    equal: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    where: Counter[str] = field(default_factory=Counter)


def start(arguments: Sequence[str], folder: Path, modules: Path | None = None) -> int:
    """Run `iqa arguments` in `folder` in a process of its own; its id. What it has loaded goes to `modules`."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    try:
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ["IQA_CACHE"] = str(folder / "cache")
        code = 0
        try:
            from iqa.commands.main import main

            main(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if modules:
            modules.write_text("\n".join(name for name in sys.modules if name != "__main__"))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    finally:
        os._exit(70)


def preload(modules: Path) -> None:
    """Import what a command had loaded when it ended."""
    for name in modules.read_text().splitlines():
        with suppress(Exception):
            importlib.import_module(name)


def wait(pid: int, seconds: float) -> int | None:
    """The exit code of a process; None, and it is killed, if it still runs after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.004)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def story(kind: Kind, folder: Path, tally: Tally, most: int, length: float, draw: random.Random) -> str | None:
    """Kill the command up to `most` times at instants over its `length`, begin it again each time, let it end.

    Returns:
        what went wrong, or None.
    """
    command = list(kind.command)
    for _ in range(most):
        before = len(_lines(folder))
        instant = draw.uniform(0.0, length)
        code = wait(start(command, folder), instant)
        if code is not None:
            if code:
                return f"failed ({code}): {_last_error(folder)}"
            break
        tally.kills += 1
        tally.where[_phase(_lines(folder)[before:])] += 1
        command = [*kind.command, *kind.again]
    else:
        if code := wait(start(command, folder), HANGS):
            return f"failed ({code}): {_last_error(folder)}"
        if code is None:
            return "hangs"
    if kind.then and (code := wait(start(kind.then, folder), HANGS)) != 0:
        return f"{kind.then[0]} failed ({code}): {_last_error(folder)}"
    return None


def outcome(folder: Path) -> dict[str, Any]:
    """What a story has left that must not depend on kills, by file."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith(("mlruns/", "cache/")):
            continue
        if path.name == "best_model.pth":
            found[name] = torch.load(path, weights_only=True)
        elif path.name == "training_history.json":
            found[name] = _timeless(json.loads(path.read_text(encoding="utf-8")))
        elif path.name in ("test_results.json", "repeats.json", *FINDINGS):
            found[name] = _rounded(_timeless(json.loads(path.read_text(encoding="utf-8"))))
        elif path.name in ("test_predictions.csv", "scores.csv", "manifest.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                found[name] = list(csv.reader(file))
        elif path.name == "scores.jsonl":
            found[name] = sorted(path.read_text(encoding="utf-8").splitlines())[1:]
        elif path.suffix in (".tmp", ".part", ".new") and ".png." not in path.name:
            found[name] = "left behind"  # but for half a figure, some kB
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Files that differ."""
    return [
        f"{name}: {'missing' if name not in other else 'extra' if name not in one else 'differs'}"
        for name in sorted(one.keys() | other.keys())
        if not same(one.get(name), other.get(name))
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return (
            one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


@dataclass
class Run:
    """A run as MLflow's database has it."""

    role: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    figures: dict[str, list[tuple[int, float]]]
    files: set[str]


def runs_of(folder: Path) -> list[Run]:
    """All runs of a story."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:

        def of(table: str, columns: str, run: str) -> list[tuple[Any, ...]]:
            return base.execute(f"SELECT {columns} FROM {table} WHERE run_uuid = ?", (run,)).fetchall()

        result = []
        for run, name, status, place in base.execute(
            "SELECT run_uuid, name, status, artifact_uri FROM runs"
        ).fetchall():
            tags = dict(of("tags", "key, value", run))
            figures: dict[str, list[tuple[int, float]]] = {}
            for key, step, value in of("metrics", "key, step, value", run):
                figures.setdefault(key, []).append((step, value))
            place = Path(place.removeprefix("file://"))
            files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
            params = dict(of("params", "key, value", run))
            result.append(Run(tags.get("role", ""), name, status, tags, params, figures, files))
    return result


def faults_of(runs: list[Run], expected: list[Run]) -> list[str]:
    """What is wrong with the runs of a story, as compared with those of one without kills."""
    faults = [f"a {run.role} run is left RUNNING" for run in runs if run.status == "RUNNING"]
    ended = [run for run in runs if run.status == "FINISHED"]
    faults += [f"a FINISHED {run.role} run has an error" for run in ended if "error" in run.tags]
    for run in expected:
        if run.role == GATHERED:
            continue
        alike = [each for each in runs if (each.role, each.name) == (run.role, run.name)]
        whole = [each for each in alike if each.status == run.status]
        if len(whole) != 1:
            faults.append(f"{len(whole)} {run.role} runs {run.status} in place of one")
            continue
        if len(alike) > 1 and run.role not in ANEW:
            faults.append(f"{len(alike) - 1} further {run.role} run ({alike[0].status})")
        faults += _faults_of_run(whole[0], run)
    return faults


def unfinished_models(folder: Path) -> list[str]:
    """Models in MLflow that nobody will finish."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        left = base.execute("SELECT 1 FROM logged_models WHERE status = 1 AND lifecycle_stage = 'active'").fetchall()
    return ["a model is left half-logged"] * bool(left)


def lost_trials(runs: list[Run], expected: list[Run]) -> list[str]:
    """What a kill has cost of the runs of a study's trials."""
    counts = [
        Counter(run.name for run in some if run.role == GATHERED and run.status != "KILLED")
        for some in (expected, runs)
    ]
    lost = (counts[0] - counts[1]).total()
    return [f"{lost} runs of trials are not in MLflow"] * bool(lost)


def _faults_of_run(run: Run, expected: Run) -> list[str]:
    faults = []
    for name, points in expected.figures.items():
        # One that found all pictures scored knows no speed.
        if name.startswith("system/") or (run.role == "score" and name.startswith("speed/")):
            continue
        got = run.figures.get(name, [])
        steps = [step for step, _ in got]
        curve = name.startswith(CURVES) and not name.startswith(TOLD_AGAIN)
        if {step for step, _ in points} != set(steps):
            faults.append(f"{run.role}: the curve {name} is not whole" if curve else f"{run.role}: {name} is missing")
        elif curve and len(set(steps)) < len(steps):
            faults.append(f"{run.role}: {name} has a doubled step")
        elif (
            name.rpartition("/")[2] not in TIMES
            and not name.startswith(("speed/", "system/", "score/"))
            and set(_rounded(got)) != set(_rounded(points))
        ):
            faults.append(f"{run.role}: {name} has other values")
    if expected.params.items() - run.params.items():
        faults.append(f"{run.role}: settings are missing")
    faults += [
        f"{run.role}: the file {_plain(name)} is missing" for name in _plain_all(expected.files) - _plain_all(run.files)
    ]
    return faults


def _plain(name: str) -> str:
    """A file's name without what MLflow draws by lot or by clock."""
    return "images" if name.startswith("images/") else name


def _plain_all(names: set[str]) -> set[str]:
    return {_plain(name) for name in names}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _rounded(value: Any) -> Any:
    """The same with figures in DIGITS."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rounded(each) for each in value)
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _lines(folder: Path) -> list[str]:
    said = folder / "said.txt"
    return said.read_text(errors="replace").splitlines() if said.exists() else []


def _phase(lines: list[str]) -> str:
    """Where a kill met a command, by the last that it said."""
    epochs = [line for line in lines if line.startswith("epoch ")]
    if not epochs:
        return "before the first epoch" if not any("trial" in line for line in lines) else "in trials"
    done, _, of = epochs[-1].split()[1].partition("/")
    if not of:
        done, _, of = epochs[-1].split()[2].partition("/")
    return "after the last epoch" if done == of else "in epochs"


def _last_error(folder: Path) -> str:
    lines = _lines(folder)
    told = [line for line in lines if line.startswith("error")]
    return (told or lines or ["no word"])[-1][:200]
