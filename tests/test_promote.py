"""`iqa promote`: the model that others rely on by name gives way to one that is not worse, and to no other."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from tiny_model import write_experiment

import iqa
from iqa.commands.deployed import promote
from iqa.commands.main import main
from iqa.config import ExperimentConfig
from iqa.deploy.promotion import read_target
from iqa.errors import UserError
from iqa.evaluation.comparison import differences
from iqa.files import write_json, write_text
from iqa.metrics import srcc
from iqa.tracking import open_run, read_run_note
from iqa.tracking.models.logged import CARD, checkpoints, digest_of
from iqa.tracking.models.registry import Registry, shortened

PICTURES = 120
TRUE = np.random.default_rng(0).random(PICTURES)


@dataclass(frozen=True)
class Place:
    """A user's folder with a store of its own."""

    root: Path
    client: MlflowClient

    def made(self, name: str, noise: float, *, seed: int = 1, first: int = 0, is_tested: bool = True) -> Path:
        """An experiment as training and testing leave it: a model, and answers that are off by `noise`."""
        folder = write_experiment(self.root / name, seed=seed)
        config = {"experiment_name": name, "tracking": {"system_metrics": False}}
        write_json(folder / "config.json", config)
        table = pd.DataFrame(
            {
                "image": [f"{number}.png" for number in range(first, first + PICTURES)],
                "content": np.arange(PICTURES),
                "score": TRUE,
                "predicted": TRUE + noise * np.random.default_rng(seed).standard_normal(PICTURES),
            }
        )
        reached = srcc(table["predicted"].to_numpy(), TRUE)
        table.to_csv(folder / "test_predictions.csv", index=False)
        write_json(folder / "test_results.json", {"metrics": {"srcc": {"value": reached}}})
        write_text(folder / CARD, f"---\nlicense: other\n---\n\n# {name}\n\nSays how good a picture looks.\n")
        with open_run(ExperimentConfig.model_validate(config), role="train", name=name, directory=folder) as tracker:
            tracker.log_served_model(folder, step=7)
            if is_tested:
                tracker.log_test(
                    folder,
                    ["test_predictions.csv", "test_results.json"],
                    checkpoint=digest_of(checkpoints(folder)),
                    metrics={"test_srcc": reached},
                    dataset=("photos-test", "1"),
                )
        return folder

    def champion(self, name: str) -> Any:
        return self.client.get_model_version_by_alias(name, "champion")

    def holder(self, name: str) -> str:
        return str(self.champion(name).version)

    def versions(self, name: str) -> list[str]:
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(str(version.version) for version in found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        # Each test compares; the intervals of fewer draws are as good for it.
        patch.setattr("iqa.deploy.promotion.differences", partial(differences, samples=200))
        yield Place(root, MlflowClient(f"sqlite:///{root / 'mlflow.db'}"))


@pytest.fixture(scope="module")
def good(place: Place) -> Path:
    return place.made("good", 0.1)


@pytest.fixture(scope="module")
def better(place: Place) -> Path:
    return place.made("better", 0.02, seed=2)


@pytest.fixture(scope="module")
def worse(place: Place) -> Path:
    return place.made("worse", 0.5, seed=3)


def model_of(version: Any) -> str:
    return str(version.source).removeprefix("models:/")


def test_the_first_is_promoted_and_says_that_there_was_none(place: Place, good: Path, capsys) -> None:
    promote.main([str(good), "--to", "first"])
    assert (
        capsys.readouterr().out
        == "first@champion is version 1: the first first@champion, with nothing to compare it with\n"
    )
    version = place.champion("first")
    assert (version.tags["promotion.verdict"], version.tags["promotion.forced"]) == ("first", "false")
    assert version.description.endswith("# good\n\nSays how good a picture looks.")
    assert version.run_id == read_run_note(good)["run_id"]
    model = place.client.get_logged_model(model_of(version))
    assert '"first"' in model.tags["mlflow.modelVersions"], "the model's page shows its version"
    assert iqa.load("models:/first@champion", "cpu").epoch == 7

    promote.main([str(good), "--to", "first"])
    assert capsys.readouterr().out == "version 1 is first@champion already\n"
    assert place.versions("first") == ["1"]


def test_a_better_one_takes_its_place_and_the_decision_is_kept(place: Place, good: Path, better: Path) -> None:
    iqa.promote(good, "second")
    done = iqa.promote(f"runs:/{read_run_note(better)['run_id']}", "second@champion")
    assert (done.version, done.before) == ("2", "1")
    version = place.champion("second")
    assert str(version.version) == done.version
    tags = {key.removeprefix("promotion."): value for key, value in version.tags.items()}
    assert (tags["verdict"], tags["against"], tags["pictures"]) == ("not worse", "1", str(PICTURES))
    assert float(tags["low"]) < float(tags["difference"]) < float(tags["high"])
    assert float(tags["difference"]) == pytest.approx(float(tags["srcc"]) - float(tags["srcc_before"]), abs=1e-6)
    assert f"difference {float(tags['difference']):+.4f} [{float(tags['low']):+.4f}" in version.description

    # Back to the version before, which is worse: the same version, not another one.
    done = iqa.promote("models:/second/1", "second", force=True)
    assert (done.version, place.versions("second")) == ("1", ["1", "2"])


def test_a_worse_one_is_refused_with_the_figures_and_nothing_is_changed(
    place: Place, better: Path, worse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    iqa.promote(better, "third")
    with pytest.raises(SystemExit) as left:
        main(["promote", str(worse), "--to", "third"])
    assert left.value.code == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith(f"promote: {worse} to third, ")
    assert lines[0] == f"error: {worse} is not promoted to third@champion; nothing was registered or moved"
    assert lines[1].startswith("  got: worse than version 1: SRCC 0.")
    assert f"on the same {PICTURES} test pictures, difference -0." in lines[1]
    assert lines[2].startswith("  expected: a difference of -0.005 or more, and a 95 % interval")
    assert "--force" in lines[3]
    assert place.holder("third") == "1"
    assert place.versions("third") == ["1"]


def test_a_margin_lets_pass_what_is_not_surely_worse(place: Place, good: Path) -> None:
    iqa.promote(good, "margin")
    like = place.made("like", 0.104, seed=9)
    with pytest.raises(UserError, match="a difference of -0 or more"):
        iqa.promote(like, "margin", margin=0.0)
    done = iqa.promote(like, "margin", margin=0.05)
    assert done.decision is not None
    assert -0.05 <= done.decision.figures["difference"] < 0 < done.decision.figures["high"]


def test_force_is_recorded(place: Place, better: Path, worse: Path) -> None:
    iqa.promote(better, "forced")
    done = iqa.promote(worse, "forced", force=True)
    version = place.champion("forced")
    assert str(version.version) == done.version == "2"
    assert (version.tags["promotion.verdict"], version.tags["promotion.forced"]) == ("worse", "true")
    assert "and promoted by --force" in version.description
    assert "and promoted by --force" in str(done)


def test_other_pictures_are_refused_unless_forced(place: Place, good: Path) -> None:
    iqa.promote(good, "pictures")
    other = place.made("other", 0.01, first=20)
    with pytest.raises(UserError) as refused:
        iqa.promote(other, "pictures")
    assert str(refused.value).splitlines()[1:3] == [
        f"  got: version 1 was tested on other pictures or scores ({PICTURES} and {PICTURES} test pictures, "
        "0 of them the same, score included)",
        "  expected: both tested on the same pictures, with the same scores",
    ]
    assert place.versions("pictures") == ["1"]
    done = iqa.promote(other, "pictures", force=True)
    assert place.champion("pictures").tags["promotion.verdict"] == "not comparable"
    assert "tested on other pictures" in str(done)


def test_what_was_not_tested_is_sent_to_its_test(place: Place, tmp_path: Path) -> None:
    folder = place.made("untested", 0.1, is_tested=False)
    with pytest.raises(UserError, match=f"iqa evaluate --experiment {folder}"):
        iqa.promote(folder, "untested", force=True)
    assert place.versions("untested") == []
    elsewhere = write_experiment(tmp_path / "elsewhere")
    write_json(elsewhere / "config.json", {"experiment_name": "elsewhere"})
    with pytest.raises(UserError, match="MLflow has no record of"):
        iqa.promote(elsewhere, "untested")
    (folder / "tracking_pending.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="has not got all of"):
        iqa.promote(folder, "untested")


def test_the_store_of_an_experiment_is_asked_and_the_one_in_use_stays(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.made("noted", 0.1)
    config = {"experiment_name": "noted", "tracking": {"uri": f"sqlite:///{place.root / 'mlflow.db'}"}}
    write_json(folder / "config.json", config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    iqa.promote(folder, "noted")
    assert place.versions("noted") == ["1"]
    assert os.environ["MLFLOW_TRACKING_URI"] == mlflow.get_tracking_uri() == f"sqlite:///{tmp_path / 'other.db'}"
    assert list(tmp_path.glob("*.db")) == []


def test_an_alias_of_ones_own_and_a_test_of_an_earlier_version(place: Place, good: Path, better: Path) -> None:
    """Models used to have no copy of their test: what their run holds is taken."""
    iqa.promote(good, "early@staging")
    holder = place.client.get_model_version_by_alias("early", "staging")
    place.client.delete_logged_model_tag(model_of(holder), "checkpoint")
    place.client.log_artifact(holder.run_id, str(good / "test_predictions.csv"), "visualizations")
    place.client.log_artifact(holder.run_id, str(good / "test_results.json"), "visualizations")
    assert iqa.promote(better, "early@staging").before == "1"
    assert place.client.get_registered_model("early").aliases == {"staging": 2}
    place.client.set_logged_model_tags(model_of(holder), {"checkpoint": digest_of(checkpoints(good))})


# Two at once


def test_of_two_promotions_at_once_none_is_lost(place: Place, good: Path, better: Path, worse: Path) -> None:
    iqa.promote(worse, "race")
    outcomes: dict[str, Any] = {}

    def one(folder: Path) -> None:
        try:
            outcomes[folder.name] = iqa.promote(folder, "race")
        except UserError as refused:
            outcomes[folder.name] = refused

    threads = [threading.Thread(target=one, args=(folder,)) for folder in (good, better)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever was first, the better one holds the alias, and the other one was compared with what stood there.
    assert place.holder("race") == outcomes["better"].version
    if isinstance(outcomes["good"], UserError):
        assert "worse than version 2" in str(outcomes["good"])
        assert place.versions("race") == ["1", "2"]
    else:
        assert (outcomes["good"].before, outcomes["better"].before) == ("1", "2")
        assert place.versions("race") == ["1", "2", "3"]


def test_where_no_lock_reaches_the_one_who_is_second_compares_anew(
    place: Place, good: Path, better: Path, worse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iqa.promote(worse, "far")
    monkeypatch.setattr("iqa.tracking.models.registry._lock", lambda _: nullcontext())
    describe = Registry.describe

    def overtaken(self: Registry, *values: Any) -> None:
        """Somebody else promotes a better one between the comparison and the move."""
        monkeypatch.setattr(Registry, "describe", describe)
        assert iqa.promote(better, "far").before == "1"
        describe(self, *values)

    monkeypatch.setattr(Registry, "describe", overtaken)
    with pytest.raises(UserError, match="worse than version 3"):
        iqa.promote(good, "far")
    assert place.holder("far") == "3"
    assert place.versions("far") == ["1", "3"], "what was registered before it was refused is gone"


# What names nothing


@pytest.mark.parametrize(
    "to",
    [
        "",
        "@champion",
        "photos@",
        "a/b",
        "a:b",
        "a@b@c",
        "it's",
        "photos@v3",
        "photos@latest",
        "x" * 400,
        " a",
        "..",
        "a\n",
    ],
)
def test_a_damaged_name_is_refused_before_anything_is_asked(to: str) -> None:
    with pytest.raises(UserError, match="names no place in the registry"):
        read_target(to)


def test_a_name_may_have_spaces_and_letters_of_any_language() -> None:
    assert read_target("my photos") == ("my photos", "champion")
    assert read_target("图像-v1.2@staging") == ("图像-v1.2", "staging")


def test_what_is_no_model_is_refused(place: Place, good: Path, tmp_path: Path) -> None:
    run_id = read_run_note(good)["run_id"]
    child = place.client.create_run("1", tags={"mlflow.parentRunId": run_id}).info.run_id
    for model, message in [
        ("runs:/nowhere", "is not in sqlite"),
        ("models:/m-nowhere", "is not in sqlite"),
        ("models:/nobody/3", "is not in sqlite"),
        (f"runs:/{child}", f"take the run that it belongs to: runs:/{run_id}"),
        (str(tmp_path / "absent"), "no experiment in"),
    ]:
        with pytest.raises(UserError, match=message):
            iqa.promote(model, "nothing")
    with pytest.raises(UserError, match="--margin is a difference in SRCC"):
        iqa.promote(good, "nothing", margin=-1)
    place.client.create_registered_model("foreign")
    foreign = place.client.create_model_version("foreign", str(tmp_path), run_id=child)
    place.client.set_registered_model_alias("foreign", "champion", foreign.version)
    with pytest.raises(UserError, match="version 1 of foreign is none of this project's models"):
        iqa.promote(good, "foreign")


def test_a_long_description_is_cut_between_paragraphs() -> None:
    text = "\n\n".join(["paragraph " * 10] * 100)
    short = shortened(text)
    assert len(short) <= 5000
    assert short.endswith("The rest is in README.md among the model's artifacts.")
    assert short.count("paragraph ") % 10 == 0
    assert shortened("short") == "short"
