"""The field's protocol on pictures that people scored: own tables, repeated splits, subsets, other sets at test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image, ImageFilter

from iqa.api.repeats import repeat
from iqa.config.reading import load_config
from iqa.errors import Interrupted
from iqa.files import read_json
from iqa.records import EpochRecord
from iqa.training.session import Session

SCALE = {"low": 1.0, "high": 5.0, "higher_is_better": True}


def draw_set(root: Path, count: int, seed: int, table: str = "scores.csv") -> Path:
    """Noise that is the more blurred the worse its score on 1..5; two subsets, some pictures wide."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True)
    rows = []
    for number in range(count):
        blur = rng.uniform(0, 3)
        size = (96, 48) if number % 4 == 0 else (48, 48)
        noise = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(blur)).save(root / f"{number}.png")
        rows.append({"image": f"{number}.png", "mos": 5 - 4 * blur / 3, "subset": "ab"[number % 2]})
    pd.DataFrame(rows).to_csv(root / table, index=False)
    return root / table


def config(path: Path, table: Path) -> Path:
    path.write_text(
        json.dumps(
            {
                "experiment_name": "own",
                "data": {
                    "dataset": "csv",
                    "csv": str(table),
                    "score_range": [1, 5],
                    "batch_size": 20,
                    "num_workers": 0,
                    "picture_size": 48,
                },
                "model": {
                    "backbone": "test_resnet",
                    "pretrained": False,
                    "freeze_backbone": True,
                    "feature_dim": 32,
                    "hidden_dim": 32,
                    "n_clusters": 2,
                    "mixture": {"dim": 4},
                },
                "training": {"epochs": 12, "device": "cpu", "intervals": False, "learning_rate": 3e-3},
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("scored") / "set", 100, seed=0)


def test_a_table_of_scores_is_trained_on_judged_and_repeated(table: Path, run, tmp_path: Path) -> None:
    settings = config(tmp_path / "own.json", table)
    done = run("-m", "iqa", "train", "--config", settings, "--repeats", "2")
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "experiments" / "own"
    summary = read_json(whole / "repeats.json")
    manifests = [pd.read_csv(whole / f"split{n}" / "manifest.csv") for n in range(2)]
    assert not manifests[0]["split"].equals(manifests[1]["split"])
    assert manifests[0]["split"].value_counts().to_dict() == {"train": 70, "test": 20, "val": 10}
    srcc = [
        read_json(whole / f"split{n}" / "visualizations" / "test_results.json")["metrics"]["srcc"]["value"]
        for n in range(2)
    ]
    assert [split["test"]["srcc"] for split in summary["splits"]] == srcc
    assert summary["test"]["srcc"]["median"] == pytest.approx(np.median(srcc))
    assert summary["test"]["srcc"]["std"] == pytest.approx(np.std(srcc, ddof=1))
    assert min(srcc) > 0.5  # blur is easily seen

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs(["1"])
    (parent,) = (each for each in runs if each.data.tags.get("repeats") == "2")
    children = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {child.info.run_name for child in children} == {"own-split0", "own-split1"}
    assert parent.data.metrics["test/srcc_median"] == pytest.approx(np.median(srcc))
    assert all(each.info.status == "FINISHED" for each in runs)

    before = {path: path.stat().st_mtime_ns for path in whole.rglob("best_model.pth")}
    again = run("-m", "iqa", "train", "--config", settings, "--repeats", "2", "--resume")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("best_model.pth")} == before
    assert read_json(whole / "repeats.json") == summary


def test_repeats_that_were_stopped_within_a_training_go_on_to_the_same_figures(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_config(config(tmp_path / "own.json", table), ["--tracking.enabled", "false"])
    whole = repeat(settings, tmp_path / "whole", 2, resume=False)

    class Stopping(Session):
        def run(self) -> Iterator[EpochRecord]:
            for record in super().run():
                if self.folder.path.name == "split1" and record.epoch == 5:
                    raise KeyboardInterrupt
                yield record

    with monkeypatch.context() as patched:
        patched.setattr("iqa.api.running.Session", Stopping)
        with pytest.raises(Interrupted, match="--resume"):
            repeat(settings, tmp_path / "stopped", 2, resume=False)
    folder = tmp_path / "stopped" / "own"
    assert not (folder / "repeats.json").exists()
    first = folder / "split0" / "best_model.pth"
    before = first.stat().st_mtime_ns
    assert repeat(settings, tmp_path / "stopped", 2, resume=True).summary == whole.summary
    assert first.stat().st_mtime_ns == before
    assert read_json(folder / "repeats.json") == whole.summary


def test_one_training_is_judged_by_subset_on_its_own_scale_and_on_another_set(table: Path, run, tmp_path: Path) -> None:
    quiet = ("--tracking.enabled", "false")
    done = run("-m", "iqa", "train", "--config", config(tmp_path / "own.json", table), *quiet)
    assert done.returncode == 0, done.stderr
    experiment = tmp_path / "experiments" / "own"
    done = run("-m", "iqa", "evaluate", "--experiment", experiment, "--skip_tsne", *quiet)
    assert done.returncode == 0, done.stderr
    results = read_json(experiment / "visualizations" / "test_results.json")
    assert results["score_name"] == "MOS"
    assert results["caveat"] is None
    assert results["scale"] == SCALE
    assert results["trained_on"] is None
    assert {name: part["n"] for name, part in results["by_subset"].items()} == pytest.approx(
        pd.read_csv(experiment / "visualizations" / "test_predictions.csv")["subset"].value_counts().to_dict()
    )
    predictions = pd.read_csv(experiment / "visualizations" / "test_predictions.csv")
    truth = pd.read_csv(table).set_index("image")["mos"]
    np.testing.assert_allclose(predictions["MOS"], truth[predictions["image"]], atol=1e-4)
    # Calibration brings the scores to the scale that people used, better than taking 0-1 for 1-5 would.
    assert predictions["calibrated"].between(0.5, 5.5).all()
    assert (predictions["calibrated"] - predictions["MOS"]).abs().mean() < 1

    own = (experiment / "visualizations" / "test_results.json").read_bytes()

    def judge(*settings: object, code: int = 0) -> str:
        words = ("-m", "iqa", "evaluate", "--experiment", experiment, "--skip_tsne", *settings, *quiet)
        done = run(*words)
        assert done.returncode == code, done.stderr
        return done.stderr

    # The same table, spelled otherwise or copied, is the own one: its test split is judged.
    copied = shutil.copytree(table.parent, tmp_path / "copied" / "elsewhere") / table.name
    for same in (Path(table.parent, ".", table.name), copied):
        judge("--data.csv", same)
        assert read_json(experiment / "visualizations" / "test_results.json")["n"] == 20
    # Splits drawn anew would put pictures that it learned from into the test.
    assert "trained on or selected by" in judge("--data.csv", copied, "--data.split_seed", "5", code=2)

    # Two other sets whose tables have its table's name: each judged whole, in a folder of its own.
    for number in (1, 2):
        other = draw_set(tmp_path / f"other{number}", 30, seed=number)
        judge("--data.csv", other, "--data.score_range", "null")
    folders = sorted(path.parent.name for path in (experiment / "visualizations").glob("*/test_results.json"))
    assert folders == ["csv-scores", "csv-scores-2"]
    for name in folders:
        foreign = read_json(experiment / "visualizations" / name / "test_results.json")
        assert foreign["n"] == 30  # all of it: nothing of it was trained on
        assert foreign["trained_on"] == "csv"
        assert "compare ranks" in foreign["caveat"]
        assert foreign["metrics"]["srcc"]["value"] > 0.5
    assert (experiment / "visualizations" / "test_results.json").read_bytes() == own

    # A set that borrows a picture of the training is refused, whatever the picture is called there.
    learned = pd.read_csv(experiment / "manifest.csv").query("split == 'train'")["image"].iloc[0]
    shutil.copy(table.parent / learned, tmp_path / "other1" / "0.png")
    assert "0.png" in judge("--data.csv", tmp_path / "other1" / "scores.csv", "--data.score_range", "null", code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data.csv", "nowhere.csv"], "data.csv is no file"),
        (["--data.columns.score", "beauty"], "beauty"),
        (["--data.score_range", "[1, 2]"], "score beyond the scale"),
        (["--data.dataset", "koniq10k"], "data.root"),
        (["--data.split_shares", "[0.5, 0.1, 0.1]"], "data.split_shares"),
        (["--repeats", "0"], "--repeats"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(arguments: list[str], said: str, table: Path, run, tmp_path: Path) -> None:
    done = run("-m", "iqa", "train", "--config", config(tmp_path / "own.json", table), *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "experiments").exists()


def test_rows_that_cannot_be_used_are_left_out_on_request(run, tmp_path: Path) -> None:
    table = draw_set(tmp_path / "set", 60, seed=2)
    with table.open("a") as file:
        file.write("gone.png,3,a\n")
    (tmp_path / "set" / "5.png").write_bytes(b"broken")
    settings = config(tmp_path / "own.json", table)
    failed = run("-m", "iqa", "train", "--config", settings, "--tracking.enabled", "false")
    assert failed.returncode == 2
    assert "gone.png" in failed.stderr
    done = run("-m", "iqa", "train", "--config", settings, "--data.on_error", "skip", "--tracking.enabled", "false")
    assert done.returncode == 0, done.stderr
    report = read_json(tmp_path / "experiments" / "own" / "data_report.json")
    assert report["rows"] == 61
    assert report["used"] == 59
    assert {reason: found["first"] for reason, found in report["faults"].items()} == {
        "missing": ["gone.png"],
        "unreadable": ["5.png (no picture of a known format, or damaged at its start)"],
    }


def test_too_few_contents_for_intervals_are_said_and_no_fault(run, tmp_path: Path) -> None:
    draw_set(tmp_path / "clean", 8, seed=3)
    (tmp_path / "clean" / "scores.csv").unlink()
    settings = config(tmp_path / "few.json", Path("unused.csv"))
    folder = (
        "--data.dataset", "folder", "--data.root", tmp_path / "clean", "--data.csv", "null",
        "--data.score_range", "null",
        "--data.train_samples", "60", "--data.val_samples", "20", "--data.test_samples", "20",
        "--training.epochs", "2", "--tracking.enabled", "false",
    )  # fmt: skip
    done = run("-m", "iqa", "train", "--config", settings, *folder)
    assert done.returncode == 0, done.stderr
    done = run("-m", "iqa", "evaluate", "--experiment", tmp_path / "experiments" / "own", "--skip_tsne")
    assert done.returncode == 0, done.stderr
    assert "no interval: too few contents" in done.stdout
