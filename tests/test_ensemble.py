"""Several experiments as one: what it says, on which pictures it may be judged, and that it scores like any model."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from scipy.stats import spearmanr
from tiny_model import picture, write_experiment

import iqa
from iqa.commands import ensemble, evaluate, score, train
from iqa.deploy.servable import make_servable
from iqa.errors import UserError
from iqa.files import read_json
from iqa.scoring import Ensemble, Scorer
from iqa.scoring.ensemble import MEMBERS, write_members
from iqa.tracking import read_run_note

CALIBRATION = {"parameters": [1.0, 0.0], "linear": True, "low": 0, "high": 100, "higher_is_better": False}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of a model without a mixture and one with three clusters."""
    root = tmp_path_factory.mktemp("experiments")
    members = [
        write_experiment(root / "plain", clusters=0, seed=1, calibration=CALIBRATION),
        write_experiment(root / "mixed", clusters=3, seed=2, calibration=CALIBRATION),
    ]
    (root / "both").mkdir()
    write_members(root / "both", members)
    return root / "both"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    where = tmp_path_factory.mktemp("photos")
    paths = [where / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        picture(number).save(path)
    return paths


def test_its_score_is_the_mean_of_its_members_and_its_cluster_that_of_the_mixture(
    folder: Path, photos: list[Path]
) -> None:
    together = iqa.load(folder).score(photos)
    plain, mixed = (iqa.load(folder.parent / name).score(photos) for name in ("plain", "mixed"))
    for column in ("score", "calibrated"):
        assert np.allclose(together[column], (plain[column] + mixed[column]) / 2)
    assert (plain["score"] - mixed["score"]).abs().min() > 0
    assert (plain["calibrated"] - mixed["calibrated"]).abs().max() > 0  # the ends of the scale are the same for both
    assert list(together["cluster"]) == list(mixed["cluster"])
    assert np.allclose(together["log_likelihood"], mixed["log_likelihood"])


def test_a_stream_of_small_batches_says_the_same_and_asks_for_pictures_as_it_goes(
    folder: Path, photos: list[Path]
) -> None:
    model = iqa.load(folder)
    asked: list[Path] = []
    given = (asked.append(path) or path for path in photos)
    parts = model.score_stream(given, batch_size=2)
    first = next(parts)
    assert len(asked) == 2
    whole = pd.concat([first, *parts])
    assert list(whole.index) == list(range(len(photos)))
    assert np.allclose(whole["score"], model.score(photos)["score"], atol=1e-5)


def test_a_picture_that_cannot_be_read_has_a_reason_and_no_score(folder: Path, photos: list[Path]) -> None:
    model = iqa.load(folder)
    table = model.score([photos[0], photos[0].parent], on_error="row")
    assert list(table["error"]) == [None, "a folder, no picture"]
    assert list(table["score"].isna()) == [False, True]
    with pytest.raises(UserError, match="cannot be read"):
        model.score([photos[0].parent])
    assert list(model.score([], on_error="row").columns) == list(table.columns)


def test_models_of_different_scales_are_no_ensemble(folder: Path) -> None:
    other = write_experiment(folder.parent / "other", calibration=CALIBRATION | {"high": 5})
    with pytest.raises(UserError, match="different scores"):
        Ensemble([Scorer(folder.parent / "plain" / "best_model.pth"), Scorer(other / "best_model.pth")], "wrong")


def test_a_damaged_list_of_members_is_named(tmp_path: Path) -> None:
    (tmp_path / MEMBERS).write_text('{"members": "plain"}')
    with pytest.raises(UserError, match=r"ensemble\.json is damaged"):
        iqa.load(tmp_path)


# Trained, judged, used

TINY: dict[str, Any] = {
    "data": {"dataset": "photos", "train_samples": 60, "val_samples": 30, "test_samples": 30, "batch_size": 30,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16,
              "mixture": {"dim": 4}},
    "training": {"epochs": 2, "device": "cpu", "intervals": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where two experiments were trained, each on two splits."""
    root = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, clusters in (("clusters", 2), ("none", 0)):
            model = TINY["model"] | {"n_clusters": clusters}
            (root / f"{name}.json").write_text(json.dumps({"experiment_name": name, **TINY, "model": model}))
            train.main(["--config", f"{name}.json", "--repeats", "2"])
        yield root


def answers(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "visualizations" / "test_predictions.csv")


def test_experiments_on_several_splits_are_put_together_split_by_split(place: Path) -> None:
    # As `mlflow run` gives a list.
    ensemble.main(["--experiments", "experiments/clusters experiments/none", "--name", "both"])
    both = place / "experiments" / "both"
    for split in ("split0", "split1"):
        one, other = (answers(place / "experiments" / name / split) for name in ("clusters", "none"))
        whole = answers(both / split)
        assert list(whole["image"]) == list(one["image"])
        assert np.allclose(whole["predicted"], (one["predicted"] + other["predicted"]) / 2, atol=1e-5)
        found = read_json(both / split / "visualizations" / "test_results.json")
        assert found["metrics"]["srcc"]["value"] == pytest.approx(
            spearmanr(whole["predicted"], whole["score"])[0], abs=1e-4
        )
    summary = read_json(both / "repeats.json")
    values = [split["test"]["srcc"] for split in summary["splits"]]
    assert summary["test"]["srcc"]["median"] == pytest.approx(np.median(values))

    runs = MlflowClient(f"sqlite:///{place / 'mlflow.db'}").search_runs(["1"])
    (parent,) = (each for each in runs if each.info.run_name == "both")
    children = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert Counter(each.info.run_name for each in children) == {"both-split0-test": 1, "both-split1-test": 1}
    assert {each.info.status for each in (parent, *children)} == {"FINISHED"}
    assert parent.data.metrics["test/srcc"] == pytest.approx(summary["test"]["srcc"]["median"])
    assert children[0].data.params["members"].count("experiments/") == 2
    with pytest.raises(UserError, match="holds several splits"):
        iqa.load(both)


def test_the_ensemble_of_a_split_scores_pictures_as_a_model_does(place: Path, photos: list[Path]) -> None:
    members = ["experiments/clusters/split1", "experiments/none/split1"]
    ensemble.main(["--experiments", *members, "--name", "one", "--skip_tsne"])
    score.main(["--model", "experiments/one", "--input", str(photos[0].parent), "--output", "scored"])
    table = pd.read_csv(place / "scored" / "scores.csv")
    expected = np.mean([iqa.load(member).score(photos)["score"] for member in members], axis=0)
    assert np.allclose(table["score"], expected, atol=1e-5)
    assert (place / "scored" / "contact_sheet.png").is_file()


def test_an_ensemble_is_a_model_in_mlflow_with_its_members_inside(place: Path, photos: list[Path]) -> None:
    members = ["experiments/clusters/split0", "experiments/none/split0"]
    ensemble.main(["--experiments", *members, "--name", "logged", "--skip_tsne"])
    expected = iqa.load("experiments/logged").score(photos)
    run_id = read_run_note(Path("experiments/logged"))["run_id"]
    assert iqa.promote("experiments/logged", "together").decision is not None
    for name in (f"runs:/{run_id}", "models:/together@champion"):
        model = iqa.load(name)
        assert isinstance(model, Ensemble)
        assert model.config.experiment_name == "logged"
        assert np.allclose(model.score(photos)["score"], expected["score"], atol=1e-5)
    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    (output,) = client.get_run(run_id).outputs.model_outputs
    tested = read_json(place / "experiments" / "logged" / "visualizations" / "test_results.json")["metrics"]
    figures = {each.key: each.value for each in client.get_logged_model(output.model_id).metrics}
    assert figures["test/srcc"] == tested["srcc"]["value"]
    assert "The mean of 2 models" in client.get_model_version("together", "1").description

    # Served from its folder, as it would be from MLflow.
    (place / "served").mkdir()
    served = make_servable("experiments/logged", place / "served")
    both = sum((place / member / "best_model.pth").stat().st_size for member in members)
    assert served.size == both
    import mlflow.pyfunc

    sent = pd.DataFrame({"image": [base64.b64encode(path.read_bytes()).decode() for path in photos[:2]]})
    answer = mlflow.pyfunc.load_model(str(served.folder)).predict(sent)
    assert np.allclose(answer["score"].astype(float), expected["score"][:2], atol=1e-5)


def test_the_same_command_judges_again_and_another_ensemble_of_that_name_keeps_the_first(place: Path) -> None:
    command = ["--experiments", "experiments/clusters/split0", "experiments/none/split0", "--name", "again"]
    ensemble.main([*command, "--skip_tsne"])
    ensemble.main([*command, "--skip_tsne"])
    again = place / "experiments" / "again"
    assert not again.with_name("again.1").exists()
    before = (again / MEMBERS).read_bytes()
    ensemble.main(["--experiments", "experiments/none/split1", "experiments/clusters/split1", "--name", "again"])
    assert (again.with_name("again.1") / MEMBERS).read_bytes() == before
    assert (again / MEMBERS).read_bytes() != before


@pytest.mark.parametrize(
    ("experiments", "message"),
    [
        (["experiments/none/split0"], "two members or more"),
        (["experiments/none/split0", "experiments/none/../none/split0"], "each once"),
        (["experiments/none/split0", "experiments/missing"], "no experiment in experiments/missing"),
        (["experiments/none", "experiments/clusters/split0"], "different numbers of splits"),
        (["experiments/none/split0", "experiments/clusters/split1"], "tested on different pictures"),
        (["experiments/none", "experiments/clusters/../refused"], "name of a member"),
    ],
)
def test_what_cannot_be_put_together_is_refused_and_leaves_no_trace(
    place: Path, experiments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ensemble.main(["--experiments", *experiments, "--name", "refused"])
    assert not (place / "experiments" / "refused").exists()
    runs = MlflowClient(f"sqlite:///{place / 'mlflow.db'}").search_runs(["1"])
    assert "RUNNING" not in {each.info.status for each in runs}


def test_no_model_is_judged_on_what_it_learned_from(place: Path) -> None:
    own = ["--experiment", "experiments/none/split0", "--skip_tsne"]
    evaluate.main(own)
    before = answers(place / "experiments" / "none" / "split0")
    another = ["--data.seed", "5", "--data.split_seed", "5"]
    with pytest.raises(UserError, match="trained on or selected by"):
        evaluate.main([*own, *another])
    with pytest.raises(UserError, match="trained on or selected by"):
        ensemble.main(["--experiments", "experiments/none/split0", "experiments/clusters/split0", *another])
    assert not (place / "experiments" / "none-split0+clusters-split0").exists()
    pd.testing.assert_frame_equal(answers(place / "experiments" / "none" / "split0"), before)
    # Fewer of the same test pictures are no fault.
    evaluate.main([*own, "--data.test_samples", "12"])
    assert len(answers(place / "experiments" / "none" / "split0")) == 12
