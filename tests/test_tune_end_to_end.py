"""A study as a user makes it: `mlflow run . -e tune`, its files, its runs, the command again, the tuned config."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forked import run_forked
from PIL import Image
from places import ROOT

from iqa.config.reading import load_config
from iqa.files import read_json

STUDY = {
    "experiment_name": "tiny",
    "data": {
        "dataset": "photos", "train_samples": 120, "val_samples": 60, "test_samples": 60, "batch_size": 30,
        "num_workers": 0, "picture_size": 64, "image_size": 64,
    },
    "model": {
        "backbone": "test_resnet", "pretrained": False, "freeze_backbone": True, "feature_dim": 32, "hidden_dim": 32,
        "n_clusters": 2, "mixture": {"dim": 4},
    },
    "training": {"epochs": 4, "device": "cpu"},
    "tuning": {
        "trials": 8, "startup_trials": 3, "range_values": 3,
        "space": {"model.n_clusters": {"choices": [0, 2]}, "model.dropout": {"low": 0.0, "high": 0.5}},
    },
}  # fmt: skip
FILES = {"recommendations.json", "recommendations.md", "trials.csv"}
FIGURES = {
    "recommendation.png", "study_history.png", "study_intermediate_values.png", "study_importances.png",
    "study_slice.png", "study_contour.png", "study_parallel_coordinates.png",
}  # fmt: skip


def command(root: Path, *arguments: str, exit_code: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k != "PYTHONPATH"}
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"PATH": binaries}
    if arguments[0] == "python":
        finished = run_forked(arguments[1:], cwd=root, env=environment)
    else:
        how = {"cwd": root, "env": environment, "capture_output": True, "text": True, "timeout": 300}
        finished = subprocess.run(arguments, **how, check=False)
    assert finished.returncode == exit_code, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, place_database: Callable[[Path], None]) -> Path:
    root = tmp_path_factory.mktemp("study")
    place_database(root / "mlflow.db")
    for name in ("iqa", "pipelines"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / "tiny.json").write_text(json.dumps(STUDY))
    launch = ("mlflow", "run", ".", "-e", "tune", "--env-manager", "local")
    command(root, *launch, "-P", "config=tiny.json", "-P", "trials=9")
    return root


def runs(project: Path, role: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    places = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(places, f"tags.role = '{role}'"))


def test_the_recommendation_is_there_to_read_and_to_look_at(project: Path) -> None:
    folder = project / "experiments" / "tiny-tuning"
    assert {path.name for path in folder.iterdir()} >= FILES | FIGURES
    assert all(min(Image.open(folder / name).size) >= 600 for name in FIGURES)
    findings = read_json(folder / "recommendations.json")
    assert sum(findings["trials"].values()) == 9
    assert set(findings["settings"]) == {"training.learning_rate", "model.n_clusters", "model.dropout"}
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == 9
    best = table.loc[table["val_srcc"].idxmax()]
    assert best["val_srcc"] == pytest.approx(findings["best_trial"]["val_srcc"])


def test_the_study_is_one_run_with_a_child_for_every_training(project: Path) -> None:
    (parent,) = runs(project, "tune")
    children = runs(project, "trial")
    assert parent.info.status == "FINISHED"
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    table = pd.read_csv(project / "experiments" / "tiny-tuning" / "trials.csv")
    trials = [child for child in children if child.info.run_name.startswith("trial ")]
    states = Counter(child.data.tags["trial_state"] for child in trials)
    assert states == Counter(table["state"])
    assert {c.info.status for c in children if c.data.tags["trial_state"] == "complete"} == {"FINISHED"}
    assert all("training.learning_rate" in child.data.params for child in children)
    assert all("epoch/val/srcc" in child.data.metrics for child in children)
    assert parent.data.metrics["study/tuned_val_srcc"] <= 1


def test_its_pictures_are_artifacts(project: Path) -> None:
    from mlflow import MlflowClient

    (parent,) = runs(project, "tune")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    held = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    assert held >= FILES | FIGURES | {"images"}


def test_the_tuned_config_says_where_it_comes_from_and_trains(project: Path) -> None:
    path = project / "configs" / "tuned" / "tiny.json"
    head = path.read_text().splitlines()
    assert head[0].startswith("// Recommended by the study tiny: 9 trials")
    made_by = shlex.split(head[2].removeprefix("// Made by: "))
    assert made_by[made_by.index("--study") + 1] == ""  # the command can be run again as it stands
    assert made_by[made_by.index("--trials") + 1] == "9"
    findings = read_json(project / "experiments" / "tiny-tuning" / "recommendations.json")
    flat = load_config(path).flat()
    assert {key: flat[key] for key in findings["values"]} == findings["values"]
    said = command(project, "python", "-m", "iqa", "train", "--config", str(path))
    assert "experiments/tiny_tuned" in said


def test_the_same_command_again_trains_nothing_and_more_trials_are_added_to_the_rest(project: Path) -> None:
    tune = ("python", "-m", "iqa", "tune", "--config", "tiny.json", "--trials")
    before = len(runs(project, "trial"))
    command(project, *tune, "9")
    assert len(runs(project, "trial")) == before
    command(project, *tune, "11")
    with sqlite3.connect(project / "optuna.db") as database:
        (count,) = database.execute(
            "select count(*) from trials join studies using (study_id) where study_name = 'tiny'"
        ).fetchone()
    assert count == 11
    assert len(runs(project, "tune")) == 1


def test_workers_of_one_command_share_its_trials(project: Path) -> None:
    tune = (sys.executable, "-m", "iqa", "tune", "--config", "tiny.json", "--trials", "40")
    longer = ("--tuning.prune", "false", "--training.epochs", "20")  # than a helper takes to come
    said = command(project, *tune, *longer, "--study", "shared", "--workers", "2")
    assert "warning" not in said
    with sqlite3.connect(project / "optuna.db") as database:
        rows = database.execute(
            "select t.state, a.value_json from trials t join studies using (study_id)"
            " join trial_user_attributes a using (trial_id) where study_name = 'shared' and a.key = 'process'"
        ).fetchall()
    assert [state for state, _ in rows] == ["COMPLETE"] * 40
    assert len({process for _, process in rows}) == 2, "both had their share"
    shared = [run for run in runs(project, "tune") if run.data.tags["study"] == "shared"]
    assert [run.info.status for run in shared] == ["FINISHED"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tuning.space.model.dropuot.low", "0", "--tuning.space.model.dropuot.high", "1"], "model.dropuot"),
        (["--tuning.space.model.dropout.high", "0"], "empty"),
        (["--tuning.space.model.dropout.log", "true"], "log range"),
        (["--training.epochs", "5"], "training.epochs: 4 before, 5 now"),
        (["--storage", "postgresql://nobody:secret@127.0.0.1:1/none"], "cannot be used"),
        (["--trials", "0"], "tuning.trials"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_bad_input_is_one_message_and_loses_nothing(project: Path, arguments: list[str], complaint: str) -> None:
    files = sorted(project.rglob("*.json"))
    tune = ("python", "-m", "iqa", "tune", "--config", "tiny.json")
    said = command(project, *tune, *arguments, exit_code=2)
    assert complaint in said
    assert "Traceback" not in said
    assert "secret" not in said
    assert sorted(project.rglob("*.json")) == files
    assert {run.info.status for run in runs(project, "tune")} == {"FINISHED"}
