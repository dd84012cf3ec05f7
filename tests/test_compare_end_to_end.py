"""Several configs, one command: what is missing is trained, all are told apart, one MLflow run holds it together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from iqa.commands import compare, train
from iqa.commands.cli import run_command
from iqa.errors import UserError
from iqa.evaluation.tested import read_contender
from iqa.files import read_json
from iqa.training.checkpoints import ExperimentFolder

TINY: dict[str, Any] = {
    "data": {"dataset": "photos", "train_samples": 60, "val_samples": 30, "test_samples": 30, "batch_size": "auto",
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16,
              "mixture": {"dim": 4}},
    "training": {"epochs": 3, "device": "cpu", "intervals": False},
}  # fmt: skip


def config(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / f"{name}.json"
    model = TINY["model"] | changes
    path.write_text(json.dumps({"experiment_name": name, **TINY, "model": model}))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_configs_are_trained_tested_and_compared_and_the_same_command_takes_what_is_there(place: Path, capsys) -> None:
    paths = [config(place, "clusters", n_clusters=2), config(place, "none", n_clusters=0)]
    train.main(["--config", str(paths[0])])
    trained = (place / "experiments" / "clusters" / "best_model.pth").stat().st_mtime_ns
    # As `mlflow run` gives a list.
    command = ["--configs", " ".join(map(str, paths)), "--name", "mixture"]
    compare.main(command)
    folder = place / "experiments" / "mixture-comparison"
    ends = ("json", "csv", "md", "png")
    assert {path.name for path in folder.glob("comparison.*")} == {f"comparison.{end}" for end in ends}
    found = read_json(folder / "comparison.json")
    judged = {
        name: read_json(place / "experiments" / name / "visualizations" / "test_results.json")["metrics"]["srcc"]
        for name in ("clusters", "none")
    }
    assert {row["name"]: row["srcc"] for row in found["experiments"]} == judged
    assert found["best"] == max(found["experiments"], key=lambda row: row["val_srcc"])["name"]
    assert set(pd.read_csv(folder / "comparison.csv")["name"]) == set(judged)
    assert (place / "experiments" / "clusters" / "best_model.pth").stat().st_mtime_ns == trained

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    runs = client.search_runs(["1"])
    (parent,) = (each for each in runs if each.data.tags["role"] == "compare")
    assert parent.data.tags["best"] == found["best"]
    assert parent.data.metrics["compared/none/srcc"] == pytest.approx(judged["none"]["value"])
    assert {"comparison.png", "comparison.md"} <= {file.path for file in client.list_artifacts(parent.info.run_id)}
    children = {each.info.run_name for each in runs if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert children == {"clusters", "none"}
    assert {each.info.status for each in runs} == {"FINISHED"}

    capsys.readouterr()
    compare.main(command)
    assert capsys.readouterr().out.count("trained and tested before") == 2
    assert read_json(folder / "comparison.json") == found

    config(place, "none", n_clusters=0, feature_dim=8)
    with pytest.raises(UserError, match=r"model\.feature_dim: 16 before, 8 now"):
        compare.main(command)

    damaged = ExperimentFolder(place / "experiments" / "none")
    damaged.manifest_file.unlink()
    with pytest.raises(UserError, match=r"manifest\.csv"):
        read_contender(damaged)


def test_each_is_trained_on_several_splits_and_judged_over_them(place: Path, capsys) -> None:
    paths = [config(place, "clusters", n_clusters=2), config(place, "none", n_clusters=0)]
    command = ["--configs", *map(str, paths), "--repeats", "2"]
    compare.main(command)
    assert "2 experiments on the same 30 test pictures of each of 2 splits" in capsys.readouterr().out
    found = read_json(place / "experiments" / "backbones-comparison" / "comparison.json")
    summaries = {name: read_json(place / "experiments" / name / "repeats.json") for name in ("clusters", "none")}
    for row in found["experiments"]:
        part = summaries[row["name"]]["test"]["srcc"]
        assert row["srcc"] == pytest.approx({"value": part["mean"], "low": part["low"], "high": part["high"]})

    runs = MlflowClient(f"sqlite:///{place / 'mlflow.db'}").search_runs(["1"])
    parents = {each.info.run_id: each.data.tags.get("mlflow.parentRunId") for each in runs}
    names = {each.info.run_id: each.info.run_name for each in runs}
    above = {(names[run], names.get(parent, "")) for run, parent in parents.items()}
    assert {("clusters", "backbones-comparison"), ("none", "backbones-comparison"), ("none-split1", "none")} <= above

    compare.main(command)
    assert capsys.readouterr().out.count("trained and tested before") == 4
    with pytest.raises(UserError, match="on several splits"):
        compare.main(command[:-2])
    config(place, "none", n_clusters=0, feature_dim=8)
    with pytest.raises(UserError, match=r"model\.feature_dim: 16 before, 8 now"):
        compare.main(command)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.json", "b.json", "--repeats", "0"], "--repeats counts splits"),
        ([], "at least two configs"),
        (["a.json"], "at least two configs"),
        (["a.json", "a.json"], "the same experiment_name"),
        (["a.json", "other.json"], "data.test_samples: 30 and 20"),
        (["a.json", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    arguments: list[str], message: str, place: Path, capsys
) -> None:
    config(place, "a")
    config(place, "b")
    other = TINY | {"experiment_name": "other", "data": TINY["data"] | {"test_samples": 20}}
    (place / "other.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit) as left:
        run_command(compare.main, ["--configs", *arguments] if arguments else [])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not (place / "experiments").exists()
