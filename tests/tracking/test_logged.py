"""Models in MLflow know their epoch, their figures and the pictures that these are of; what waits brings them later."""

from __future__ import annotations

import importlib.metadata
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient, search_logged_models
from packaging.requirements import Requirement
from tiny_model import picture, write_experiment

from iqa.config import ExperimentConfig
from iqa.deploy.export.exporting import export
from iqa.files import write_json
from iqa.tracking import open_run, read_run_note
from iqa.tracking.models.fetching import MODEL_NAME
from iqa.tracking.models.logged import CARD, checkpoints, digest_of, model_of, requirements, save_served_model
from iqa.tracking.sending.delivery import PENDING

#: In the folder that the tests run in.
STORE = "sqlite:///mlflow.db"
FILES = ("visualizations/test_results.json", "visualizations/test_predictions.csv")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    root = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield MlflowClient(STORE)


def config(uri: str = STORE) -> ExperimentConfig:
    return ExperimentConfig(experiment_name="tiny", tracking={"uri": uri, "system_metrics": False})


def experiment(folder: Path, seed: int = 0) -> Path:
    write_experiment(folder, seed=seed)
    for name in FILES:
        write_json(folder / name, {})
    (folder / CARD).write_text(f"# {folder.name}\n")
    return folder


def train(folder: Path, val: float, uri: str = STORE) -> str:
    """As a training ends."""
    with open_run(config(uri), role="train", name=folder.name, directory=folder) as tracker:
        tracker.log_params({"model.backbone": "test_resnet"})
        tracker.log_served_model(folder, step=7, metrics={"best_val_srcc": val}, dataset=("photos", "1" * 64))
    return str(tracker.run_id)


def evaluate(folder: Path, srcc: float, *, digest: str = "", uri: str = STORE) -> None:
    """As a test ends."""
    with open_run(config(uri), role="evaluate", name=f"{folder.name}-test", directory=folder) as tracker:
        tracker.on_run(read_run_note(folder)["run_id"]).log_test(
            folder,
            FILES,
            checkpoint=digest or digest_of(checkpoints(folder)),
            metrics={"test/srcc": srcc},
            dataset=("photos-test", "2" * 64),
        )


def names(client: MlflowClient, model: Any, path: str | None = None) -> set[str]:
    return {item.path for item in client.list_logged_model_artifacts(model.model_id, path)}


def test_the_best_model_is_found_by_its_test_on_the_same_pictures(client: MlflowClient, tmp_path: Path) -> None:
    runs = {}
    for name, reached in (("low", 0.6), ("high", 0.9), ("middle", 0.7)):
        folder = experiment(tmp_path / name)
        runs[name] = train(folder, reached - 0.1)
        evaluate(folder, reached)
    found = search_logged_models(
        ["1"],
        datasets=[{"dataset_name": "photos-test", "dataset_digest": "2" * 36}],
        order_by=[{"field_name": "metrics.test/srcc", "ascending": False}],
        output_format="list",
    )
    assert [model.source_run_id for model in found] == [runs[name] for name in ("high", "middle", "low")]
    best = found[0]
    told = {each.key: (each.value, each.dataset_name, each.dataset_digest) for each in best.metrics}
    assert told == {
        "val/best_srcc": (pytest.approx(0.8), "photos", "1" * 36),
        "test/srcc": (0.9, "photos-test", "2" * 36),
    }
    assert best.params["model.backbone"] == "test_resnet"
    run = client.get_run(runs["high"])
    assert [(each.model_id, each.step) for each in run.outputs.model_outputs] == [(best.model_id, 7)]
    assert run.data.metrics == {"val/best_srcc": pytest.approx(0.8), "test/srcc": 0.9}
    assert len(client.get_metric_history(run.info.run_id, "test/srcc")) == 1, "a figure of the run and of its model"
    assert {CARD, "MLmodel"} <= names(client, best)
    assert names(client, best, "evaluation") == {"evaluation/test_results.json", "evaluation/test_predictions.csv"}


def test_a_model_whose_logging_was_killed_is_replaced_by_the_next(client: MlflowClient, tmp_path: Path) -> None:
    folder = experiment(tmp_path / "killed")
    with open_run(config(), role="train", name="killed", directory=folder) as tracker:
        run = client.get_run(str(tracker.run_id))
        for status in (None, "READY"):
            left = client.create_logged_model(run.info.experiment_id, MODEL_NAME, source_run_id=run.info.run_id)
            if status:
                client.finalize_logged_model(left.model_id, status)
        tracker.log_served_model(folder, step=7)
    of_run = f"source_run_id = '{run.info.run_id}'"
    (found,) = client.search_logged_models([run.info.experiment_id], filter_string=of_run)
    assert found.status == "READY"
    own = model_of(client, run.info.run_id)
    assert own is not None
    assert own.model_id == found.model_id


def test_a_test_of_another_checkpoint_says_nothing_of_the_model(client: MlflowClient, tmp_path: Path) -> None:
    folder = experiment(tmp_path / "resumed")
    run = train(folder, 0.5)
    evaluate(folder, 0.1, digest="that of last_model.pth")
    model = model_of(client, run)
    assert model is not None
    assert [each.key for each in model.metrics] == ["val/best_srcc"]
    assert CARD not in names(client, model)
    assert client.get_run(run).data.metrics["test/srcc"] == 0.1

    # Trained further: the new checkpoint is a model of its own, and its test is that model's.
    write_experiment(folder, seed=5)
    with open_run(config(), role="train", name="resumed", directory=folder, run_id=run) as tracker:
        tracker.log_served_model(folder, step=9)
    evaluate(folder, 0.8)
    newer = model_of(client, run)
    assert newer is not None
    assert newer.model_id != model.model_id
    assert [(each.key, each.value) for each in newer.metrics] == [("test/srcc", 0.8)]


def test_model_and_test_wait_for_a_server_as_everything_does(client: MlflowClient, tmp_path: Path) -> None:
    folder = experiment(tmp_path / "waiting")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        train(folder, 0.5, dead)
        evaluate(folder, 0.6, uri=dead)
    pending = [json.loads(line) for line in (folder / PENDING).read_text().splitlines()]
    assert {"model", "test"} <= {each["what"] for each in pending}
    evaluate(folder, 0.7)
    model = model_of(client, read_run_note(folder)["run_id"])
    assert model is not None
    assert {each.key: each.value for each in model.metrics} == {"val/best_srcc": 0.5, "test/srcc": 0.7}
    assert CARD in names(client, model)
    assert not (folder / PENDING).exists()


def test_a_model_that_waits_since_an_earlier_version_is_logged(client: MlflowClient, tmp_path: Path) -> None:
    folder = experiment(tmp_path / "early")
    with open_run(config(), role="train", name="early", directory=folder) as tracker:
        pass
    (folder / PENDING).write_text(json.dumps({"what": "model", "run": tracker.run_id, "path": "."}) + "\n")
    evaluate(folder, 0.7)
    run = client.get_run(str(tracker.run_id))
    assert [each.step for each in run.outputs.model_outputs] == [0]
    model = model_of(client, run.info.run_id)
    assert model is not None
    assert model.tags["checkpoint"] == digest_of([folder / "best_model.pth"])


@pytest.mark.parametrize("kind", ["checkpoint", "exported"])
def test_a_served_model_imports_only_what_it_asks_for(run: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    model, tiny = tmp_path / "model", experiment(tmp_path / "tiny")
    if kind == "exported":
        pytest.importorskip("onnxruntime")
        photos = tmp_path / "photos"
        photos.mkdir()
        for number in range(3):
            picture(number).save(photos / f"{number}.png")
        tiny = export(tiny, pictures=photos).file
    save_served_model(tiny, model)
    asked = [line.partition("==")[0] for line in requirements(exported=kind == "exported")]
    assert ("torch" in asked) is (kind == "checkpoint")
    code = (
        "import sys\n"
        "model, *allowed = sys.argv[1:]\n"
        "from importlib.machinery import PathFinder\n"
        "from importlib.metadata import packages_distributions\n"
        "owners = packages_distributions()\n"
        "class Asked(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        absent = path is None and name in owners and not set(owners[name]) & set(allowed)\n"
        "        return None if absent else super().find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Asked\n"
        "import mlflow.pyfunc, pandas\n"
        "served = mlflow.pyfunc.load_model(model)\n"
        "picture = open(model + '/picture.png', 'rb').read()\n"
        "answer = served.predict(pandas.DataFrame({'image': [picture]}))\n"
        "print(answer['score'].notna().all(), answer['error'].isna().all())\n"
    )
    picture(0).save(model / "picture.png")
    done = run("-c", code, model, "iqa", *needed_by(asked))
    assert done.stdout.split() == ["True", "True"], done.stderr


def needed_by(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need in turn, by the names that they give themselves."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        try:
            distribution = importlib.metadata.distribution(waiting.pop())
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        name = distribution.metadata["Name"]
        if name not in found:
            found.add(name)
            wanted = map(Requirement, distribution.requires or [])
            waiting += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found
