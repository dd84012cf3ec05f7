"""Runs in MLflow: what is in them, how they end, and what a dead server costs (nothing)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from places import ROOT

import iqa
from iqa.api.evaluate import headline
from iqa.config import ExperimentConfig
from iqa.errors import Interrupted, UserError
from iqa.processes import this_process
from iqa.records import EpochRecord
from iqa.scoring import BOUNDS
from iqa.tracking import Tracker, fetch_experiment, metric_names, open_run, read_run_note, write_run_note
from iqa.tracking.names import GROUPED, grouped
from iqa.tracking.sending.delivery import PENDING
from iqa.tracking.store import public_uri, reachable
from iqa.tracking.tracker import NAMING, told_settings
from iqa.tracking.view import NOTE, VIEW, artifact_link, view_link


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, made once: MLflow takes seconds to create them."""
    from iqa.tracking.store import connect

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    with contextlib.chdir(file.parent):  # its artifacts lie where it is made
        connect(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store of its own, with artifacts beside it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def client(store: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a short training leaves behind."""
    folder = tmp_path / "experiments" / "small"
    (folder / "visualizations").mkdir(parents=True)
    for name in ("config.json", "best_model.pth", "last_model.pth", "training_history.json"):
        (folder / name).write_text("{}")
    Image.new("RGB", (30, 20), "red").save(folder / "visualizations" / "features_pca.png")
    return folder


@pytest.fixture
def dead_server() -> Iterator[str]:
    """The address of a server that refuses connections at once: a port that is bound but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def settings(uri: str | None, **tracking: Any) -> ExperimentConfig:
    tracking = {"uri": uri, "experiment": "pictures", "system_metrics": False} | tracking
    return ExperimentConfig(experiment_name="small", tracking=tracking)


def epoch(number: int) -> EpochRecord:
    figures = dict.fromkeys(("train_loss", "train_srcc", "train_plcc", "train_krcc", "train_rmse"), 0.1 * number)
    figures |= dict.fromkeys(("val_loss", "val_srcc", "val_plcc", "val_krcc", "val_rmse"), 0.2 * number)
    return EpochRecord(epoch=number, learning_rate=1e-3, images_per_second=100.0, seconds=1.0, **figures)


def run_of(client: Any, run_id: str | None) -> Any:
    return client.get_run(run_id)


def all_runs(client: Any) -> list[Any]:
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def steps(client: Any, run_id: str | None, name: str) -> list[int]:
    return [metric.step for metric in client.get_metric_history(run_id, name)]


def artifacts(client: Any, run_id: str | None, place: str | None = None) -> set[str]:
    return {item.path for item in client.list_artifacts(run_id, place)}


# What a training leaves


def test_a_training_is_one_run_with_all_it_did(store: str, client: Any, folder: Path) -> None:
    config = settings(store)
    table = pd.DataFrame({"path": ["a.png", "b.png"], "score": [0.1, 0.9]})
    with open_run(config, role="train", name="small", directory=folder, tags={"device": "cpu"}) as tracker:
        tracker.log_config(config)
        tracker.log_dataset(table, name="photos", context="training", digest="f" * 64, source="photos")
        for number in (1, 2, 3):
            tracker.log_epoch(epoch(number))
        tracker.log_metrics({"best_epoch": 3, "nothing": None, "infinite": float("inf")})
        tracker.log_files(folder)
        tracker.log_pictures(folder / "visualizations", "visualizations")

    (run,) = all_runs(client)
    assert (run.info.run_name, run.info.status) == ("small", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == "pictures"
    assert run.data.params["model.n_clusters"] == "8"
    assert set(run.data.params) == set(NAMING), "what is as usual stands in config.json alone"
    assert steps(client, tracker.run_id, "epoch/val/srcc") == [1, 2, 3]
    assert run.data.metrics["epoch/val/srcc"] == pytest.approx(0.6)
    assert "infinite" not in run.data.metrics
    assert "nothing" not in run.data.metrics
    assert run.data.tags["backbone"] == "resnet18"
    assert run.data.tags["dataset"] == "cifar10"
    assert (run.data.tags["device"], run.data.tags["role"]) == ("cpu", "train")
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("photos", "f" * 36, "training")
    assert artifacts(client, tracker.run_id) >= {"config.json", "best_model.pth", "training_history.json"}
    assert artifacts(client, tracker.run_id, "visualizations") == {"visualizations/features_pca.png"}
    assert any("features_pca" in path for path in artifacts(client, tracker.run_id, "images"))
    assert read_run_note(folder)["run_id"] == run.info.run_id
    assert not (folder / PENDING).exists()


def test_the_artifact_config_is_the_whole_config(store: str, client: Any, tmp_path: Path) -> None:
    config = settings(store)
    with open_run(config, role="train", name="small") as tracker:
        tracker.log_config(config)
    saved = client.download_artifacts(tracker.run_id, "config.json", str(tmp_path))
    assert json.loads(Path(saved).read_text()) == config.to_dict()


def test_settings_that_are_not_as_usual_are_parameters_too() -> None:
    config = ExperimentConfig(experiment_name="mine", model={"dropout": 0.45}, tracking={"system_metrics": False})
    assert set(told_settings(config)) == {*NAMING, "model.dropout"}


# What MLflow's UI shows of an experiment


def test_runs_go_to_an_experiment_of_the_projects_name(store: str, client: Any) -> None:
    with open_run(settings(store, experiment=None), role="train", name="small") as tracker:
        pass
    (experiment,) = (each for each in client.search_experiments() if each.name == "iqa")
    assert run_of(client, tracker.run_id).info.experiment_id == experiment.experiment_id
    assert tracker.link == view_link(store, experiment.experiment_id)


@pytest.mark.parametrize("named", ["pictures", "Default"])
def test_an_experiment_opens_on_the_side_of_trainings_with_a_view(store: str, client: Any, named: str) -> None:
    with open_run(settings(store, experiment=named), role="train", name="small"):
        pass
    tags = client.get_experiment_by_name(named).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "`test/srcc`" in tags[NOTE]
    state = json.loads(tags[VIEW])["state"].removeprefix("deflate;")
    view = json.loads(zlib.decompress(base64.b64decode(state)))
    assert view["orderByKey"] in view["selectedColumns"]


def test_what_an_experiment_was_said_to_be_stays(store: str, client: Any) -> None:
    said = {"mlflow.experimentKind": "genai_development", NOTE: "mine", VIEW: "{}"}
    client.create_experiment("agents", tags=said)
    with open_run(settings(store, experiment="agents"), role="train", name="small"):
        pass
    assert said.items() <= client.get_experiment_by_name("agents").tags.items()


def test_the_experiment_that_the_launcher_took_gets_a_view_too(
    store: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = client.create_experiment("mine")
    for experiment in ("0", own):
        monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(experiment, run_name="bold-crab-123").info.run_id)
        with open_run(settings(store), role="train", name="small"):
            pass
        assert {NOTE, VIEW, "mlflow.experimentKind"} <= set(client.get_experiment(experiment).tags)


def test_the_view_is_where_the_ui_is() -> None:
    end = "/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=iqa"
    assert view_link("sqlite:///mlflow.db", "7") == f"http://127.0.0.1:5000{end}"
    assert view_link("https://me:secret@mlflow.example/base/", "7") == f"https://mlflow.example/base{end}"


def test_a_server_that_is_down_has_no_view(dead_server: str, folder: Path) -> None:
    with open_run(settings(dead_server), role="train", name="small", directory=folder) as tracker:
        assert tracker.link is None


def test_curves_of_training_come_first_on_a_page_of_figures() -> None:
    figures = [*epoch(1).metrics(), *GROUPED, "best_val_srcc", "test_srcc", "score_mean"]
    groups = sorted({grouped(name).rpartition("/")[0] for name in figures})
    assert groups[:2] == ["epoch/train", "epoch/val"]
    assert "" not in groups
    assert grouped("compared/a/val_srcc") == "compared/a/val_srcc"


def test_a_description_finds_files_and_runs_that_no_server_had_seen(
    store: str, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(settings(store), role="tune", name="small", directory=folder) as tracker:
        child = tracker.open_child("trial 0", {"role": "trial"}, {})
        picture = child.log_preview(folder / "visualizations" / "features_pca.png")
        child.describe(f"{picture} of {tracker.run_link(child.run_id)}")
        child.close_child("FINISHED", {})
        assert "pending-" in str(child.run_id) + picture
    run = next(each for each in all_runs(client) if each.info.run_name == "trial 0")
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    link = artifact_link(run.info.run_id, "description/features_pca.png")
    assert run.data.tags[NOTE] == f"![features_pca]({link}) of {place}"
    assert artifacts(client, run.info.run_id, "description") == {"description/features_pca.png"}


def test_no_epoch_waits_for_the_store(store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    quick, answered = MlflowClient.log_batch, []

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.2)
        answered.append(quick(*arguments, **named))

    with open_run(settings(store), role="train", name="small") as tracker:
        monkeypatch.setattr(MlflowClient, "log_batch", slow)
        for number in range(1, 201):
            tracker.log_epoch(epoch(number))
        waited_for = len(answered)
    assert waited_for < 100  # of 200, had each epoch waited for its answer
    assert steps(client, tracker.run_id, "epoch/train/loss") == list(range(1, 201))


def test_a_short_trial_of_a_study_costs_one_batch(store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    plain, batches = MlflowClient.log_batch, []

    def counted(self: Any, run_id: str, *arguments: Any, **named: Any) -> Any:
        batches.append(run_id)
        return plain(self, run_id, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    with open_run(settings(store), role="tune", name="study") as tracker:
        for number in (1, 2, 3):
            trial = tracker.open_child(f"trial {number}", {"role": "trial"}, {"rate": number / 10})
            for each in (1, 2, 3, 4):
                trial.log_epoch(epoch(each))
            trial.log_metrics({"best_val_srcc": 0.5})
            trial.close_child("KILLED" if number == 2 else "FINISHED", {"trial_state": "pruned"})
    trials = {run.info.run_name: run for run in all_runs(client) if run.info.run_id != tracker.run_id}
    assert sorted(batches) == sorted(run.info.run_id for run in trials.values())
    for number, status in ((1, "FINISHED"), (2, "KILLED"), (3, "FINISHED")):
        run = trials[f"trial {number}"]
        assert run.info.status == status
        assert run.data.params == {"rate": str(number / 10)}
        assert run.data.metrics["val/best_srcc"] == 0.5
        assert run.data.tags["trial_state"] == "pruned"
        assert run.data.tags["mlflow.parentRunId"] == tracker.run_id
        assert steps(client, run.info.run_id, "epoch/val/srcc") == [1, 2, 3, 4]


def refuse_to_take(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let MLflow refuse figures of these names, with all that is sent beside them, as it does with invalid ones."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    plain = MlflowClient.log_batch

    def refuse(self: Any, run_id: str, *, metrics: Any, **others: Any) -> Any:
        for metric in metrics:
            if metric.key in names:
                raise MlflowException.invalid_parameter_value(f"no metric is called {metric.key}")
        return plain(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)


def test_what_mlflow_refuses_costs_a_trial_nothing_else(
    store: str, client: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(settings(store), role="tune", name="study") as tracker:
        trial = tracker.open_child("trial 1", {"role": "trial"}, {"rate": 0.1})
        trial.log_epoch(epoch(1))
        refuse_to_take(monkeypatch, "unwanted")
        trial.log_metrics({"unwanted": 1.0})
        trial.log_metrics({"best_val_srcc": 0.5})
        trial.close_child("FINISHED", {"trial_state": "complete"})
    run = run_of(client, trial.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rate": "0.1"}
    assert run.data.metrics["val/best_srcc"] == 0.5
    assert run.data.tags["trial_state"] == "complete"
    assert steps(client, trial.run_id, "epoch/val/srcc") == [1]
    complaint = "\n".join(said)
    assert "unwanted" in complaint
    assert complaint.count("MLflow took no") == 1


def test_a_figure_that_mlflow_refuses_costs_none_of_those_beside_it(
    store: str, client: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {f"figure{number}": float(number) for number in range(40)}
    with open_run(settings(store), role="evaluate", name="small-test") as tracker:
        refuse_to_take(monkeypatch, "figure7", "figure30")
        tracker.log_metrics(figures)
        tracker.log_params({"good": 1, "bad?": 2, "fine": 3})
    run = run_of(client, tracker.run_id)
    assert run.data.metrics == {name: each for name, each in figures.items() if name not in ("figure7", "figure30")}
    assert run.data.params == {"good": "1", "fine": "3"}
    assert "\n".join(said).count("MLflow took no") == 3


def test_a_thousand_refusals_are_not_a_thousand_warnings(
    store: str, client: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {f"figure{number}-{'x' * 200}": float(number) for number in range(300)}
    with open_run(settings(store), role="evaluate", name="small-test") as tracker:
        refuse_to_take(monkeypatch, *figures)
        tracker.log_metrics(figures)
    told = "\n".join(said)
    assert told.count("MLflow took no") == 20
    assert "no longer told" in told
    assert max(len(line.encode()) for line in told.splitlines()) < 2000


def test_more_than_mlflow_takes_at_once_goes_in_several_batches(store: str, client: Any) -> None:
    with open_run(settings(store), role="tune", name="study") as tracker:
        many = {f"setting{number}": number for number in range(150)}
        trial = tracker.open_child("trial", {"role": "trial"}, many)
        for step in range(1100):
            trial.log_metrics({"srcc": step / 1100}, step=step)
        trial.close_child("FINISHED", {f"tag{number}": number for number in range(150)})
    run = run_of(client, trial.run_id)
    assert run.data.params == {key: str(value) for key, value in many.items()}
    assert sorted(steps(client, trial.run_id, "srcc")) == list(range(1100))
    assert run.data.tags["tag149"] == "149"


def test_system_metrics_are_logged(store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with open_run(settings(store, system_metrics=True), role="train", name="small") as tracker:
        time.sleep(0.6)
    assert "system/cpu_utilization_percentage" in run_of(client, tracker.run_id).data.metrics


def test_a_setting_logged_before_is_kept_and_the_new_value_is_a_tag(store: str, client: Any) -> None:
    config = settings(store)
    with open_run(config, role="train", name="small") as tracker:
        tracker.log_config(config)
    longer = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 99})})
    with open_run(longer, role="train", name="small", run_id=tracker.run_id) as again:
        again.log_config(longer)
    run = run_of(client, tracker.run_id)
    assert run.data.params["training.epochs"] == "50"
    assert run.data.tags["param.training.epochs"] == "99"


# Which run it is


def test_a_resumed_training_continues_its_run(store: str, client: Any, folder: Path) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder) as first:
        first.log_epoch(epoch(1))
    noted = read_run_note(folder)["run_id"]
    with open_run(settings(store), role="train", name="small", directory=folder, run_id=noted) as second:
        assert run_of(client, noted).info.status == "RUNNING"
        second.log_epoch(epoch(2))
    assert not second.new_run
    assert second.run_id == first.run_id
    assert steps(client, noted, "epoch/val/loss") == [1, 2]
    assert [run.info.status for run in all_runs(client)] == ["FINISHED"]


def test_a_run_that_the_store_does_not_have_is_replaced(store: str, client: Any, folder: Path, said: list[str]) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder, run_id="0" * 32) as tracker:
        tracker.log_epoch(epoch(1))
    assert tracker.new_run
    assert tracker.run_id == read_run_note(folder)["run_id"] != "0" * 32
    assert "has no run" in "\n".join(said)
    assert [run.info.status for run in all_runs(client)] == ["FINISHED"]


def launch(client: Any, monkeypatch: pytest.MonkeyPatch, **params: str) -> str:
    """Open a run as `mlflow run` does, with the parameters of -P."""
    run = client.create_run("0")
    for key, value in params.items():
        client.log_param(run.info.run_id, key.replace("__", "."), value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return run.info.run_id


def test_the_run_of_mlflow_run_is_adopted(store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launch(client, monkeypatch, config="configs/small.json", model__n_clusters="8")
    config = settings(store)
    with open_run(config, role="train", name="small") as tracker:
        tracker.log_config(config)
    (run,) = all_runs(client)
    assert tracker.run_id == launched
    assert (run.info.run_name, run.info.status) == ("small", "FINISHED")
    assert run.data.params["config"] == "configs/small.json"
    assert set(NAMING) < set(run.data.params)
    assert client.get_experiment_by_name("pictures") is None


def test_a_name_given_to_mlflow_run_stays(store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launch(client, monkeypatch)
    client.update_run(launched, name="my favourite")
    with open_run(settings(store), role="train", name="small"):
        pass
    assert run_of(client, launched).info.run_name == "my favourite"


def test_resuming_under_mlflow_run_continues_the_old_run(
    store: str, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder) as first:
        first.log_epoch(epoch(1))
    launched = launch(client, monkeypatch)
    with open_run(settings(store), role="train", name="small", directory=folder, run_id=first.run_id) as second:
        second.log_epoch(epoch(2))
    assert second.run_id == first.run_id
    assert run_of(client, launched).data.tags["mlflow.parentRunId"] == first.run_id
    assert {run.info.status for run in all_runs(client)} == {"FINISHED"}


@pytest.mark.parametrize("under_mlflow_run", [False, True])
def test_an_evaluation_is_a_child_and_writes_to_its_training_too(
    store: str, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, under_mlflow_run: bool
) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder) as training:
        pass
    if under_mlflow_run:
        launch(client, monkeypatch)
    with open_run(settings(store), role="evaluate", name="small-test", directory=folder) as evaluation:
        for tracker in (evaluation, evaluation.on_run(training.run_id)):
            tracker.log_metrics({"test_srcc": 0.8})
            tracker.log_pictures(folder / "visualizations", "visualizations")
    assert len(all_runs(client)) == 2
    for run_id in (training.run_id, evaluation.run_id):
        assert run_of(client, run_id).data.metrics["test/srcc"] == 0.8
        assert run_of(client, run_id).info.status == "FINISHED"
        assert artifacts(client, run_id, "visualizations")
    tags = run_of(client, evaluation.run_id).data.tags
    assert (tags["role"], tags["mlflow.parentRunId"]) == ("evaluate", training.run_id)
    assert read_run_note(folder)["run_id"] == training.run_id


# How a run ends


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (RuntimeError("the loss is not finite"), "FAILED"),
        (UserError("no such thing"), "FAILED"),
        (SystemExit(2), "FAILED"),
        (SystemExit(0), "FINISHED"),
        (KeyboardInterrupt(), "KILLED"),
        (Interrupted("stopped"), "KILLED"),
    ],
    ids=lambda value: repr(value),
)
def test_no_run_is_left_running(store: str, client: Any, stop: BaseException, status: str) -> None:
    held = []

    def story() -> None:
        with open_run(settings(store), role="train", name="small") as tracker:
            held.append(tracker.run_id)
            tracker.log_epoch(epoch(1))
            raise stop

    with pytest.raises(type(stop)):
        story()
    (run_id,) = held
    run = run_of(client, run_id)
    assert run.info.status == status
    assert run.info.end_time >= run.info.start_time
    assert steps(client, run_id, "epoch/val/loss") == [1]
    if isinstance(stop, RuntimeError):
        assert run.data.tags["error"] == "RuntimeError: the loss is not finite"


def test_sigterm_ends_the_run_killed_even_when_it_comes_twice(store: str, client: Any) -> None:
    def story() -> None:
        with open_run(settings(store), role="train", name="small"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        story()
    assert [run.info.status for run in all_runs(client)] == ["KILLED"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_sigkill_left_running_is_ended_by_the_next_run(store: str, client: Any) -> None:
    code = (
        "import os, signal, sys\n"
        "from iqa.config import ExperimentConfig\n"
        "from iqa.tracking import open_run\n"
        "tracking = {'uri': sys.argv[1], 'experiment': 'pictures', 'system_metrics': False}\n"
        "config = ExperimentConfig(experiment_name='small', tracking=tracking)\n"
        "with open_run(config, role='train', name='lost'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, store], env=environment, check=False)
    (lost,) = all_runs(client)
    assert lost.info.status == "RUNNING"
    with open_run(settings(store), role="train", name="alive"):
        pass
    assert {run.info.run_name: run.info.status for run in all_runs(client)} == {
        "lost": "KILLED",
        "alive": "FINISHED",
    }


def test_a_run_of_a_living_process_is_left_alone(store: str, client: Any) -> None:
    with open_run(settings(store), role="train", name="outer") as outer:
        with open_run(settings(store), role="evaluate", name="inner"):
            pass
        assert run_of(client, outer.run_id).info.status == "RUNNING"


def left_running(client: Any, process: str, name: str, *, silent_for: float | None = None) -> None:
    """A run by another process, whose last figure came some seconds ago."""
    experiment = client.get_experiment_by_name("pictures")
    number = experiment.experiment_id if experiment else client.create_experiment("pictures")
    run = client.create_run(number, tags={"process": process}, run_name=name)
    if silent_for is not None:
        client.log_metric(run.info.run_id, "val_srcc", 0.5, timestamp=int((time.time() - silent_for) * 1000))


def test_only_what_is_surely_dead_or_long_silent_is_buried(store: str, client: Any) -> None:
    here, host = this_process(), socket.gethostname()
    elsewhere = re.sub(r"/\d+:\d+:", "/4026539999:4194399:", here)
    gone = re.sub(r":\d+:\d+:", ":4194399:1:", here)
    left_running(client, elsewhere, "in another container of this host name")
    left_running(client, re.sub(r":\w+:\w*$", ":0123456789ab:0badcafe", here), "on another machine")
    left_running(client, here, "alive")
    left_running(client, f"{host}:4194399:1", "of an earlier version, perhaps in a container", silent_for=60)
    left_running(client, f"{host}:4194399:1", "of an earlier version, silent", silent_for=30 * 3600)
    left_running(client, f"{host}:4194399:1", "of an earlier version, never heard of")
    left_running(client, gone, "gone a moment ago", silent_for=1)
    with open_run(settings(store), role="train", name="small"):
        pass
    assert {run.info.run_name for run in all_runs(client) if run.info.status == "KILLED"} == {
        "of an earlier version, silent",
        "of an earlier version, never heard of",
        "gone a moment ago",
    }


def test_a_run_that_is_resumed_never_stands_under_the_name_of_a_dead_process(
    store: str, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    plain, seen = MlflowClient.update_run, []

    def watched(self: Any, run_id: str, *arguments: Any, **named: Any) -> Any:
        seen.append(client.get_run(run_id).data.tags["process"])
        return plain(self, run_id, *arguments, **named)

    with open_run(settings(store), role="train", name="small", directory=folder) as first:
        pass
    client.set_tag(first.run_id, "process", "dead")
    monkeypatch.setattr(MlflowClient, "update_run", watched)
    with open_run(settings(store), role="train", name="small", directory=folder, run_id=first.run_id):
        pass
    assert seen == [this_process()]


def test_an_interrupt_stays_killed_after_mlflow_run_calls_it_failed(store: str, client: Any) -> None:
    from iqa.tracking.endings import correct_status

    run_id = client.create_run("0").info.run_id
    assert not correct_status(client, run_id)
    client.set_terminated(run_id, "FAILED", end_time=1234)
    assert correct_status(client, run_id)
    assert (run_of(client, run_id).info.status, run_of(client, run_id).info.end_time) == ("KILLED", 1234)


# A server that is down


def test_a_dead_server_costs_a_warning_and_nothing_is_lost(
    dead_server: str, store: str, client: Any, folder: Path, said: list[str]
) -> None:
    config = settings(dead_server)
    start = time.monotonic()
    with open_run(config, role="train", name="small", directory=folder) as tracker:
        tracker.log_config(config)
        for number in (1, 2, 3):
            tracker.log_epoch(epoch(number))
        tracker.log_files(folder / "config.json")
    assert time.monotonic() - start < 5
    unborn = tracker.run_id
    assert unborn
    assert unborn.startswith("pending-")
    warnings = "\n".join(said)
    assert warnings.count("does not answer") == 1
    assert PENDING in warnings
    assert (folder / PENDING).is_file()

    # The server is back when the training is evaluated.
    with open_run(settings(store), role="evaluate", name="small-test", parent=unborn, directory=folder) as test:
        test.on_run(unborn).log_metrics({"test_srcc": 0.7})
    trained = read_run_note(folder)["run_id"]
    run = run_of(client, trained)
    assert (run.info.run_name, run.info.status) == ("small", "FINISHED")
    assert steps(client, trained, "epoch/val/srcc") == [1, 2, 3]
    assert run.data.params["model.n_clusters"] == "8"
    assert run.data.metrics["test/srcc"] == 0.7
    assert run_of(client, test.run_id).data.tags["mlflow.parentRunId"] == trained
    assert artifacts(client, trained) == {"config.json"}
    assert not (folder / PENDING).exists()


def test_a_training_begun_without_a_server_and_resumed_with_one_is_one_run(
    dead_server: str, store: str, client: Any, folder: Path
) -> None:
    with open_run(settings(dead_server), role="train", name="small", directory=folder) as first:
        first.log_epoch(epoch(1))
    noted = read_run_note(folder)["run_id"]
    with open_run(settings(dead_server), role="train", name="small", directory=folder, run_id=noted) as still_dead:
        still_dead.log_epoch(epoch(2))
    with open_run(settings(store), role="train", name="small", directory=folder, run_id=noted) as alive:
        alive.log_epoch(epoch(3))
    (run,) = all_runs(client)
    assert run.info.status == "FINISHED"
    assert steps(client, run.info.run_id, "epoch/val/srcc") == [1, 2, 3]
    assert read_run_note(folder)["run_id"] == run.info.run_id


def test_a_server_lost_on_the_way_is_caught_up_with(
    store: str, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    from mlflow import MlflowClient

    from iqa.tracking.sending import outbox

    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError("connection refused")

    with open_run(settings(store), role="train", name="small", directory=folder) as tracker:
        tracker.log_epoch(epoch(1))
        with monkeypatch.context() as broken:
            broken.setattr(MlflowClient, "log_batch", lost)
            broken.setattr(outbox, "trouble_with", lambda uri: "does not answer")
            tracker.log_epoch(epoch(2))
            until(lambda: (folder / PENDING).is_file())
        tracker.log_epoch(epoch(3))
    run = run_of(client, tracker.run_id)
    assert sorted(steps(client, tracker.run_id, "epoch/val/srcc")) == [1, 2, 3]
    assert run.info.status == "FINISHED"
    assert not (folder / PENDING).exists()
    assert "\n".join(said).count("does not answer") == 1


def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_mlflow_refuses_does_not_stop_the_rest(
    store: str, client: Any, folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder) as tracker:
        refuse_to_take(monkeypatch, "unwanted")
        tracker.log_metrics({"unwanted": 1.0})
        tracker.log_files(folder / "absent.json")
        tracker.log_metrics({"fine": 1.0})
    assert run_of(client, tracker.run_id).data.metrics == {"fine": 1.0}
    assert "\n".join(said).count("MLflow took no") == 2
    assert not (folder / PENDING).exists()


@pytest.mark.parametrize(
    "uri", ["http://", "http://host:port", "localhost:5000", "foo://bar", "./mlruns", "sqlite:///config.json"]
)
def test_a_tracking_uri_that_cannot_work_is_the_users_error(uri: str, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="tracking URI"), open_run(settings(uri), role="train", name="small"):
        pass


def test_a_deleted_experiment_is_the_users_error(store: str, client: Any) -> None:
    client.delete_experiment(client.create_experiment("pictures"))
    with pytest.raises(UserError), open_run(settings(store), role="train", name="small"):
        pass
    assert all_runs(client) == []


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host:5000/x", "https://host:5000/x"),
        ("https://me:sec/ret@host:5000/x", "https://host:5000/x"),
        ("https://host/@team/x?a=b", "https://host/@team/x?a=b"),
        ("postgresql://me:sec/ret@host/db", "postgresql://host/db"),
        ("postgresql+psycopg2://host/db?password=secret", "postgresql+psycopg2://host/db"),
        ("mysql://host/db?user=me@x&password=secret", "mysql://..."),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("pictures@home/scores.csv", "pictures@home/scores.csv"),
    ],
)
def test_an_address_is_shown_without_password(uri: str, shown: str) -> None:
    assert public_uri(uri) == shown


@pytest.mark.parametrize("uri", ["foo://me:secret@host", "http://me:secret@[::1", "foo://" + "x" * 5000])
def test_a_refused_address_is_short_and_without_password(uri: str) -> None:
    with pytest.raises(UserError) as error, open_run(settings(uri), role="train", name="small"):
        pass
    assert "secret" not in str(error.value)
    assert len(str(error.value).encode()) < 2000


def test_a_password_with_a_slash_hides_no_host(dead_server: str) -> None:
    port = dead_server.rpartition(":")[2]
    assert not reachable(f"postgresql://me:sec/ret@127.0.0.1:{port}/db")


# Names of figures


def stored_on_windows(name: str) -> str:
    """What a file of this name is called where case does not count, and dots and spaces at the end are dropped."""
    return "/".join(part.rstrip(". ") for part in name.lower().split("/"))


ODD = [
    *("ss01", "jpeg 2000", "a-b.c_d", "größe", "模糊", "live/jpeg"),
    *("a//b", "a/", "/a", "a/../b", "..", ".", "", " ", "a ", "a.", "a/b/.", "a(b)", "a[b]", "a{b}", "a_b_", "a:b"),
    *("low", "high", "Low", "LOW", "low/x", "x", "x/y", "X/Y", "JPEG", "jpeg", "é", "e", "e\u0301"),
    *("n" * 300, "n" * 299, "n" * 241, "ü" * 200, "ü" * 201, "\ud800", "a\nb", "a\n", "a\0b", "😀", "%", "$x^2$"),
]


def test_every_subset_has_a_figure_of_its_own_that_every_store_takes() -> None:
    from mlflow.utils import validation

    fixed = {f"test_{name}{end}" for name in ("srcc", "plcc") for end in ("", "_low", "_high")}
    # What stands in for one name is no room for a subset that is called so.
    stand_ins = [name.removeprefix("test_srcc_") for name in metric_names([f"test_srcc_{name}" for name in ODD])]
    subsets = list(dict.fromkeys([*ODD, *stand_ins]))
    names = metric_names([f"test_srcc_{subset}" for subset in subsets], taken=fixed)
    assert len({stored_on_windows(name) for name in [*names, *fixed]}) == len(subsets) + len(fixed)
    for name in names:
        validation._validate_metric(name, 1.0, 0, 0)
        if not name.endswith("n" * 200):
            validation._validate_tag(f"metric.{name}", "the tag that tells what it stands for")
        assert len(name.encode()) <= 250
        assert ":" not in name, "a server on Windows takes none"
    files = {name.lower() for name in [*names, *fixed]}
    for name in files:
        assert not any("/".join(name.split("/")[:depth]) in files for depth in range(1, name.count("/") + 1))
    shuffled = random.Random(0).sample(subsets, len(subsets))
    again = dict(zip(shuffled, metric_names([f"test_srcc_{each}" for each in shuffled], taken=fixed), strict=True))
    assert [again[subset] for subset in subsets] == names, "in whatever order they come"


def test_a_simple_name_stays_and_another_is_the_same_in_every_run() -> None:
    simple = ["test_srcc_ss01", "test_srcc_jpeg 2000", "test_srcc_größe", "test_srcc_live/jpeg", "srcc", "n" * 250]
    assert metric_names(simple) == simple
    assert metric_names(["test_srcc_a(b)"]) == metric_names(["test_srcc_x", "test_srcc_a(b)"])[1:]
    assert metric_names(["test_srcc_a(b)"])[0].startswith("test_srcc_a_b_-")


def results(**subsets: float) -> dict[str, Any]:
    figure = {"value": 0.7, "low": 0.689, "high": 0.71}
    parts = {name: {"n": 9, "srcc": srcc} for name, srcc in subsets.items()}
    return {"metrics": {"srcc": figure, "plcc": figure}, "by_subset": parts}


def test_no_subset_costs_another_its_figure_in_mlflow(store: str, client: Any) -> None:
    subsets = {name: number / 100 for number, name in enumerate(["low", "high", "ss01", *ODD[6:], "dir/", "a//c"])}
    figures = headline(results(**subsets))
    with open_run(settings(store), role="evaluate", name="small-test") as tracker:
        tracker.log_metrics(figures)
    run = run_of(client, tracker.run_id)
    assert run.data.metrics == figures
    assert len(figures) == 6 + len(subsets)
    assert run.data.metrics["test/srcc_low"] == 0.689
    assert run.data.metrics["test/srcc_high"] == 0.71
    assert run.data.metrics["test/srcc_ss01"] == subsets["ss01"]
    told = {key.removeprefix("metric."): value for key, value in run.data.tags.items() if key.startswith("metric.")}
    for name, subset in told.items():
        readable = subset.encode(errors="backslashreplace").decode()
        assert run.data.metrics[name] in {
            value
            for key, value in subsets.items()
            if key.encode(errors="backslashreplace").decode().replace("\0", "\\x00") == readable
        }
    assert {f"test/srcc_{subset}" for subset in subsets} - set(figures) | {"test/srcc_low", "test/srcc_high"} == {
        *(f"test/srcc_{subset}" for subset in figures.called.values()),
    }


def test_what_a_tracker_is_told_one_after_the_other_does_not_mix(store: str, client: Any) -> None:
    with open_run(settings(store), role="compare", name="small") as tracker:
        for name, srcc in (("a(b)", 0.1), ("a[b]", 0.2), ("srcc", 0.3), ("A", 0.4), ("a", 0.5)):
            tracker.log_metrics({f"{name}/srcc": srcc, f"{name}/{'x' * 300}": -srcc})
        tracker.log_metrics({"srcc": 0.6})
        for step in (1, 2):
            tracker.log_metrics({"a(b)/srcc": 0.1}, step=step)
    run = run_of(client, tracker.run_id)
    assert sorted(run.data.metrics.values()) == [-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    told = {value: key.removeprefix("metric.") for key, value in run.data.tags.items() if key.startswith("metric.")}
    assert run.data.metrics[told["a(b)/srcc"]] == 0.1
    assert run.data.metrics[told["a[b]/srcc"]] == 0.2
    assert sorted(steps(client, run.info.run_id, told["a(b)/srcc"])) == [0, 1, 2]


def test_a_folder_of_files_takes_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.entities import Metric
    from mlflow.store.tracking.file_store import FileStore

    kept = FileStore(str(tmp_path / "mlruns"))
    run = kept.create_run("0", "me", 0, [], "small")
    figures = headline(results(**dict.fromkeys(["low", *ODD], 0.5)))
    kept.log_batch(run.info.run_id, [Metric(name, value, 0, 0) for name, value in figures.items()], [], [])
    assert kept.get_run(run.info.run_id).data.metrics == figures


# Tracking off


def test_tracking_off_does_nothing_and_needs_no_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "from pathlib import Path\n"
        "from iqa.config import ExperimentConfig\n"
        "from iqa.tracking import open_run\n"
        "config = ExperimentConfig(experiment_name='off', tracking={'enabled': False})\n"
        "with open_run(config, role='train', name='off', directory=Path('.')) as tracker:\n"
        "    tracker.log_config(config); tracker.log_metrics({'a': 1.0}); tracker.log_tags({'b': 1})\n"
        "    tracker.log_files(Path('.')); tracker.log_pictures(Path('.'))\n"
        "    tracker.log_served_model(Path('.'))\n"
        "    tracker.on_run('x').log_metrics({'a': 1.0})\n"
        "    tracker.log_dataset(None, name='a', context='test', digest='d', source='s')\n"
        "    assert tracker.run_id is None and tracker.uri is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


# From a run back to a folder, and to a model


def test_the_note_holds_no_password(tmp_path: Path) -> None:
    write_run_note(tmp_path, run_id="a", tracking_uri="https://me:secret@host:5000/x", experiment_id="1")
    assert "secret" not in (tmp_path / "mlflow.json").read_text()
    assert read_run_note(tmp_path)["tracking_uri"] == "https://host:5000/x"
    assert read_run_note(tmp_path / "nowhere") == {}


def test_a_run_becomes_an_experiment_folder_again(store: str, client: Any, folder: Path, tmp_path: Path) -> None:
    with open_run(settings(store), role="train", name="small", directory=folder) as tracker:
        tracker.log_files(folder)
    fetched = fetch_experiment(f"runs:/{tracker.run_id}", tmp_path / "fetched", store=store)
    names = {"config.json", "best_model.pth", "last_model.pth", "training_history.json", "mlflow.json"}
    assert {path.name for path in fetched.iterdir()} == names
    assert read_run_note(fetched)["run_id"] == tracker.run_id


@pytest.mark.parametrize("uri", ["runs:/", "runs:/" + "0" * 32, "models:/m-1", "runs:/a/b"])
def test_a_run_that_is_not_there_is_the_users_error(uri: str, store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fetch_experiment(uri, tmp_path / "fetched", store=store)
    assert not (tmp_path / "fetched").exists()


def test_a_run_without_a_model_is_the_users_error(store: str, tmp_path: Path) -> None:
    with open_run(settings(store), role="evaluate", name="small-test") as tracker:
        pass
    with pytest.raises(UserError, match="no trained model"):
        fetch_experiment(f"runs:/{tracker.run_id}", tmp_path / "fetched", store=store)


STUB_SCORING = """
from pathlib import Path
import numpy as np, pandas as pd

class Scorer:
    def score(self, pictures, on_error):
        score = [float(np.asarray(p.opened()).mean()) / 255 for p in pictures]
        names = ("calibrated", "low", "high", "calibrated_low", "calibrated_high", "log_likelihood", "typicality")
        nothing = {**dict.fromkeys(names, np.nan), "cluster": 2.0, "error": None}
        return pd.DataFrame({"score": score, **nothing})

def load_model(path):
    assert Path(path).read_text() == "{}"
    return Scorer()
"""

SERVE = """
import base64, json, sys
import mlflow, pandas as pd
import mlflow.pyfunc
uri, picture = sys.argv[1:]
model = mlflow.pyfunc.load_model(uri)
encoded = base64.b64encode(open(picture, "rb").read()).decode()
scores = model.predict(pd.DataFrame({"image": [open(picture, "rb").read(), encoded]}))
example = model.predict(model.input_example)
print(json.dumps({
    "scores": scores.to_dict("list"),
    "example": len(example),
    "file": sys.modules["iqa"].__file__,
    "inputs": model.metadata.get_input_schema().input_names(),
    "outputs": model.metadata.get_output_schema().input_names(),
}, default=str))
"""


def test_the_logged_model_scores_in_a_fresh_process(
    store: str, client: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shutil.copytree(Path(iqa.__file__).parent, tmp_path / "package" / "iqa")
    (package / "scoring" / "scorer.py").unlink()
    (package / "scoring" / "__init__.py").write_text(STUB_SCORING)
    monkeypatch.setattr(iqa, "__file__", str(package / "__init__.py"))
    with open_run(settings(store), role="train", name="small", directory=folder) as tracker:
        tracker.log_served_model(folder)
    (output,) = run_of(client, tracker.run_id).outputs.model_outputs
    picture = tmp_path / "half.png"
    Image.fromarray(np.full((8, 8, 3), 102, np.uint8)).save(picture)

    done = subprocess.run(
        [sys.executable, "-c", SERVE, f"models:/{output.model_id}", str(picture)],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": store},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["scores"]["score"] == pytest.approx([0.4, 0.4])
    assert answer["scores"]["cluster"] == [2, 2]
    assert answer["example"] == 1
    assert str(ROOT) not in answer["file"]
    assert (answer["inputs"], answer["outputs"]) == (
        ["image"],
        ["score", "calibrated", *BOUNDS, "cluster", "log_likelihood", "typicality", "error"],
    )


def test_a_tracker_without_a_run_has_the_same_methods() -> None:
    Tracker(None, None).log_epoch(epoch(1))
