"""The whole way as a user walks it: `mlflow run`, the scripts, an interruption, another process, the run table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forked import Begun, run_forked
from PIL import Image
from places import ROOT

from iqa.files import read_json
from iqa.tracking.names import grouped

FIGURES = {
    "predictions_scatter.png",
    "cluster_distribution.png",
    "clusters.png",
    "features_pca.png",
    "features_tsne.png",
    "sample_predictions.png",
    "training_curves.png",
}

TINY = """{
    // small enough for a test, whole otherwise
    "experiment_name": "tiny",
    "data": {"dataset": "photos", "train_samples": 120, "val_samples": 60, "test_samples": 60, "batch_size": 30,
             "num_workers": 0, "picture_size": 64, "image_size": 64},
    "model": {"backbone": "test_resnet", "pretrained": false, "feature_dim": 32, "hidden_dim": 32, "n_clusters": 2,
              "mixture": {"dim": 4}},
    "training": {"epochs": 3, "device": "cpu"},
}"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, and commands in it."""

    root: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> Begun:
        """`python arguments`."""
        return Begun(arguments, cwd=self.root, env=self.environment)

    def run(self, *command: str) -> str:
        if command[0] == "python":
            done = run_forked(command[1:], cwd=self.root, env=self.environment)
        else:
            how: dict[str, Any] = {"cwd": self.root, "env": self.environment, "capture_output": True, "text": True}
            done = subprocess.run(command, **how, timeout=300, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self, role: str) -> list[Any]:
        return list(self.client.search_runs(["0", "1"], f"tags.role = '{role}'"))

    def artifacts(self, run_id: str, folder: str | None = None) -> set[str]:
        return {Path(entry.path).name for entry in self.client.list_artifacts(run_id, folder)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Trained and evaluated by `mlflow run`, with one setting overridden by -P."""
    root = tmp_path_factory.mktemp("project")
    for name in ("iqa", "pipelines", "configs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / "configs" / "tiny.json").write_text(TINY)
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k != "PYTHONPATH"}
    project = Project(root, {**environment, "PATH": binaries})
    launch = ("mlflow", "run", ".", "--env-manager", "local")
    project.run(*launch, "-e", "train", "-P", "config=configs/tiny.json", "-P", "model.n_clusters=3")
    project.run(*launch, "-e", "evaluate", "-P", "experiment=experiments/tiny")
    return project


def test_the_experiment_folder_holds_what_the_guide_promises(project: Project) -> None:
    folder = project.root / "experiments" / "tiny"
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "best_model.pth", "last_model.pth", "training_history.json", "visualizations"} <= names
    pictures = {path.name for path in (folder / "visualizations").glob("*.png")}
    assert pictures == FIGURES
    assert all(min(Image.open(folder / "visualizations" / name).size) >= 600 for name in FIGURES)
    assert read_json(folder / "config.json")["model"]["n_clusters"] == 3


def test_results_say_what_the_scores_are_and_agree_with_the_table(project: Project) -> None:
    from scipy.stats import spearmanr

    folder = project.root / "experiments" / "tiny" / "visualizations"
    results = read_json(folder / "test_results.json")
    table = pd.read_csv(folder / "test_predictions.csv")
    assert "not scores of this picture by people" in results["caveat"]
    assert results["n"] == len(table) == 60
    srcc = spearmanr(table["predicted"], table["score"]).statistic
    assert results["metrics"]["srcc"]["value"] == pytest.approx(srcc, abs=1e-3)


def test_one_row_in_the_run_table_compares_a_training(project: Project) -> None:
    (training,) = project.runs("train")
    results = read_json(project.root / "experiments" / "tiny" / "visualizations" / "test_results.json")
    assert training.info.status == "FINISHED"
    assert training.data.params["model.n_clusters"] == "3"
    assert training.data.params["training.learning_rate"] == "0.001"
    assert training.data.metrics["test/srcc"] == pytest.approx(results["metrics"]["srcc"]["value"])
    assert {"test/plcc", "model/parameters_millions", "speed/median_images_per_second"} <= set(training.data.metrics)
    assert training.data.tags["backbone"] == "test_resnet"
    assert training.inputs.dataset_inputs


@pytest.mark.parametrize("name", ["train_loss", "val_srcc", "val_plcc", "val_krcc", "val_rmse", "learning_rate"])
def test_every_epoch_is_a_step(project: Project, name: str) -> None:
    (training,) = project.runs("train")
    history = read_json(project.root / "experiments" / "tiny" / "training_history.json")["epochs"]
    logged = {
        point.step: point.value for point in project.client.get_metric_history(training.info.run_id, grouped(name))
    }
    assert logged == pytest.approx({epoch["epoch"]: epoch[name] for epoch in history if epoch[name] is not None})


def test_evaluation_is_a_child_and_its_pictures_are_on_both_runs(project: Project) -> None:
    (training,), (evaluation,) = project.runs("train"), project.runs("evaluate")
    assert evaluation.info.status == "FINISHED"
    assert evaluation.data.tags["mlflow.parentRunId"] == training.info.run_id
    for run in (training, evaluation):
        assert "| SRCC | " in run.data.tags["mlflow.note.content"]
        assert project.artifacts(run.info.run_id, "visualizations") >= FIGURES
        assert any("predictions_scatter" in name for name in project.artifacts(run.info.run_id, "images"))
    assert project.artifacts(training.info.run_id) >= {"best_model.pth", "last_model.pth", "config.json"}


def test_the_logged_model_scores_a_picture_in_a_fresh_process(project: Project, tmp_path: Path) -> None:
    picture = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(picture)
    (training,) = project.runs("train")
    code = (
        "import json, sys, mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri('sqlite:///{project.root / 'mlflow.db'}')\n"
        f"model = mlflow.pyfunc.load_model('runs:/{training.info.run_id}/model')\n"
        f"table = model.predict(pd.DataFrame({{'image': [open({str(picture)!r}, 'rb').read()]}}))\n"
        "print(json.dumps(table.to_dict('records')[0]))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    row = json.loads(said.stdout.splitlines()[-1])
    assert np.isfinite(row["score"])
    assert 0 <= row["cluster"] < 3
    assert row["low"] is None, "too few validation pictures to find intervals from"


def test_a_run_is_evaluated_from_mlflow_alone(project: Project, tmp_path: Path) -> None:
    (training,) = project.runs("train")
    shutil.move(project.root / "experiments" / "tiny", tmp_path / "away")
    try:
        said = project.run("python", "-m", "pipelines.test_with_viz", "--experiment", f"runs:/{training.info.run_id}",
                           "--skip_tsne")  # fmt: skip
    finally:
        shutil.move(tmp_path / "away", project.root / "experiments" / "tiny")
    fetched = project.root / "experiments" / training.info.run_id / "visualizations"
    assert "SRCC" in said
    assert {path.name for path in fetched.glob("*.png")} == FIGURES - {"features_tsne.png"}


def test_an_interrupted_script_says_how_to_go_on_and_does(project: Project) -> None:
    settings = ["--config", "configs/tiny.json", "--experiment_name", "stopped", "--training.epochs", "400",
                "--model.freeze_backbone", "true"]  # fmt: skip
    process = project.start("-m", "pipelines.train_gpu", *settings)
    deadline = time.monotonic() + 120
    while not (project.root / "experiments" / "stopped" / "last_model.pth").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 143, said
    assert "--resume" in said
    assert "Traceback" not in said
    (stopped,) = project.client.search_runs(["0", "1"], "attributes.run_name = 'stopped'")
    assert stopped.info.status == "KILLED"

    done = len(read_json(project.root / "experiments" / "stopped" / "training_history.json")["epochs"])
    settings[settings.index("400")] = str(done + 2)
    project.run("python", "-m", "pipelines.train_gpu", *settings, "--resume")
    (resumed,) = project.client.search_runs(["0", "1"], "attributes.run_name = 'stopped'")
    assert resumed.info.run_id == stopped.info.run_id
    assert resumed.info.status == "FINISHED"
    steps = [point.step for point in project.client.get_metric_history(resumed.info.run_id, "epoch/val/loss")]
    assert sorted(set(steps)) == list(range(1, done + 3))


def test_tracking_off_leaves_no_trace_but_the_folder(project: Project, tmp_path: Path) -> None:
    output = tmp_path / "experiments"
    arguments = ["--config", "configs/tiny.json", "--tracking.enabled", "false", "--output", str(output)]
    project.run("python", "-m", "pipelines.train_gpu", *arguments, "--training.epochs", "1")
    project.run("python", "-m", "pipelines.test_with_viz", "--experiment", str(output / "tiny"), "--skip_tsne")
    assert (output / "tiny" / "visualizations" / "test_results.json").exists()
    assert not (output / "tiny" / "mlflow.json").exists()


def test_no_run_is_left_running(project: Project) -> None:
    assert {run.info.status for run in project.client.search_runs(["0", "1"])} <= {"FINISHED", "KILLED"}
