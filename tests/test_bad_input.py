"""Whatever a user gets wrong: one clear message, exit code 2 (1 while running), no traceback, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqa.commands import evaluate, train
from iqa.commands.cli import run_command

TINY = {
    "experiment_name": "tiny",
    "data": {"dataset": "photos", "train_samples": 40, "val_samples": 20, "test_samples": 20, "batch_size": 20,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2,
              "mixture": {"dim": 2}},
    "training": {"epochs": 2, "device": "cpu", "intervals": False},
    "tracking": {"enabled": False},
}  # fmt: skip


@dataclass(frozen=True)
class Slip:
    """What a user does wrong, the words of the message that help, and the exit code."""

    name: str
    arguments: list[str]
    message: list[str]
    prepare: Callable[[Path], object] = lambda folder: None
    exit_code: int = 2


def pictures(folder: Path) -> None:
    """Four small pictures, one of which is text."""
    (folder / "clean").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "clean" / f"{number}.png")
    (folder / "clean" / "torn.png").write_text("no picture")


def other_weights(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "other.pth")


def deleted_experiment(folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    client.delete_experiment(client.create_experiment("gone", artifact_location=str(folder / "mlruns")))


TRAIN_SLIPS = [
    Slip("unknown key", ["--model.n_cluster", "4"], ["model.n_cluster", "model.n_clusters"]),
    Slip("wrong type", ["--training.epochs", "many"], ["training.epochs", "many", "integer"]),
    Slip("out of range", ["--model.dropout", "2"], ["model.dropout", "less than 1"]),
    Slip("no such config", ["--config", "nowhere.json"], ["nowhere.json", "does not exist"]),
    Slip(
        "corrupt config",
        ["--config", "torn.json"],
        ["torn.json", "line 1"],
        lambda folder: (folder / "torn.json").write_text("{"),
    ),
    Slip(
        "unknown backbone",
        ["--model.backbone", "resnet81"],
        ["resnet81", "did you mean"],
    ),
    Slip("unknown data set", ["--data.dataset", "cifar11"], ["data.dataset", "cifar10"]),
    Slip(
        "hub out of reach for weights",
        ["--model.backbone", "resnet18", "--model.pretrained", "true"],
        ["model.weights", "model.pretrained", "tf_efficientnet_lite0"],
    ),
    Slip("hub out of reach for data", ["--data.dataset", "cifar10"], ["data.root"]),
    Slip("folder that is not there", ["--data.dataset", "folder", "--data.root", "nowhere"], ["nowhere"]),
    Slip(
        "unreadable picture",
        ["--data.dataset", "folder", "--data.root", "clean"],
        ["torn.png", "cannot be read"],
        pictures,
    ),
    Slip("weights that are not there", ["--model.pretrained", "true", "--model.weights", "w.pth"], ["w.pth"]),
    Slip(
        "weights of another model",
        ["--model.pretrained", "true", "--model.weights", "other.pth"],
        ["other.pth"],
        other_weights,
    ),
    Slip("more clusters than pictures", ["--model.n_clusters", "50"], ["50 clusters", "40 training pictures"]),
    Slip("absent device", ["--training.device", "cuda:99"], ["cuda:99", "training.device"]),
    Slip("stray word", ["oops"], ["oops", "--section.key value"]),
    Slip("flag with nonsense", ["--resume", "perhaps"], ["--resume", "perhaps"]),
    Slip("broken tracking address", ["--tracking.enabled", "true", "--tracking.uri", "gopher://x"], ["gopher"]),
    Slip(
        "deleted MLflow experiment",
        ["--tracking.enabled", "true", "--tracking.experiment", "gone"],
        ["the MLflow experiment 'gone' cannot be used", "it was deleted"],
        deleted_experiment,
    ),
    Slip(
        "tracking refused on several splits",
        ["--tracking.enabled", "true", "--tracking.uri", "gopher://x", "--repeats", "2"],
        ["gopher"],
    ),
    Slip(
        "loss that is not finite",
        ["--training.learning_rate", "10", "--training.optimizer", "sgd", "--training.clip_gradient", "0",
         "--training.loss.smooth_l1", "1e30", "--training.precision", "float32"],
        ["not finite", "training.learning_rate"],
        exit_code=1,
    ),
]  # fmt: skip


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs a command to its end in a folder of its own; returns exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(main: Callable[[list[str]], object], *arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            run_command(main, list(arguments))
        return left.value.code, capfd.readouterr().err

    return run


@pytest.mark.parametrize("slip", TRAIN_SLIPS, ids=lambda slip: slip.name)
def test_training_says_what_is_wrong(slip: Slip, tmp_path: Path, ending) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    earlier = tmp_path / "experiments" / "tiny"
    earlier.mkdir(parents=True)
    (earlier / "best_model.pth").write_text("precious")
    slip.prepare(tmp_path)
    exit_code, said = ending(train.main, "--config", "tiny.json", *slip.arguments)
    assert exit_code == slip.exit_code, said
    assert "Traceback" not in said
    for words in slip.message:
        assert words in said
    assert (earlier / "best_model.pth").read_text() == "precious", "what was there has kept its name"
    assert [path.name for path in (tmp_path / "experiments").glob("[!.]*")] == ["tiny"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A tiny experiment, trained once for this file."""
    from iqa.config.reading import build_config
    from iqa.training.checkpoints import ExperimentFolder
    from iqa.training.session import Session

    config = build_config({**TINY, "data": {**TINY["data"], "cache_dir": str(shared_cache)}})
    session = Session(config, ExperimentFolder(tmp_path_factory.mktemp("trained") / "tiny"), progress=False)
    with session.claimed():
        pass
    list(session.run())
    return session.folder.path


def wider(folder: Path) -> None:
    """Give the experiment the config of another model."""
    config = json.loads((folder / "tiny" / "config.json").read_text())
    config["model"]["hidden_dim"] = 17
    checkpoint = torch.load(folder / "tiny" / "best_model.pth", weights_only=True)
    torch.save({**checkpoint, "config": config}, folder / "tiny" / "best_model.pth")


EVALUATE_SLIPS = [
    Slip("no such experiment", ["--experiment", "tony"], ["tony", "no experiment"]),
    Slip("no such checkpoint", ["--checkpoint", "worst_model.pth"], ["worst_model.pth", "best_model.pth"]),
    Slip(
        "damaged checkpoint",
        [],
        ["best_model.pth", "cannot be read"],
        lambda folder: (folder / "tiny" / "best_model.pth").write_bytes(b"PK"),
    ),
    Slip("checkpoint of another model", [], ["best_model.pth", "another model"], wider),
    Slip(
        "damaged config",
        [],
        ["config.json"],
        lambda folder: (folder / "tiny" / "config.json").write_text("{"),
    ),
    Slip("unknown run", ["--experiment", "runs:/0123456789abcdef0123456789abcdef"], ["0123456789abcdef"]),
]


@pytest.mark.parametrize("slip", EVALUATE_SLIPS, ids=lambda slip: slip.name)
def test_evaluation_says_what_is_wrong(slip: Slip, tmp_path: Path, trained: Path, ending) -> None:
    shutil.copytree(trained, tmp_path / "tiny")
    slip.prepare(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}
    exit_code, said = ending(evaluate.main, "--experiment", "tiny", *slip.arguments)
    assert exit_code == slip.exit_code, said
    assert "Traceback" not in said
    for words in slip.message:
        assert words in said
    assert {path: path.read_bytes() for path in (tmp_path / "tiny").iterdir()} == before
