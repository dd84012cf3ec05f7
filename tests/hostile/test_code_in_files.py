"""Files that run code when they are loaded carelessly: here they are refused, or what would run is never touched."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny_model import write_experiment

import iqa
from hostile.kinds import pickle_inside, saved, with_pickle
from hostile.workshop import Workshop
from iqa.data.store.cache import RECORD
from iqa.data.store.intact import describe, note_whole
from iqa.data.store.pictures import read_rgb
from iqa.data.store.squares import open_squares
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError
from iqa.model.backbone.weights import load_pretrained
from iqa.scoring.ensemble import write_members
from iqa.tracking.models.fetching import checkpoint_of
from iqa.training.checkpoints import BEST, ExperimentFolder, load_checkpoint
from iqa.training.session import Session


class Plant:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-has-run"


def legacy(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


#: How code is put into a file: the plant, and a valid checkpoint, give its bytes.
WAYS: dict[str, Callable[[Plant, bytes], bytes]] = {
    "plain pickle": lambda plant, valid: pickle.dumps(plant),
    "checkpoint": lambda plant, valid: saved({"format": 2, "model": {"a": plant}, "config": {}}),
    "legacy checkpoint": lambda plant, valid: legacy({"format": 2, "model": plant}),
    "before a valid checkpoint": lambda plant, valid: with_pickle(
        valid, pickle.dumps(plant, 2)[:-1] + b"0" + pickle_inside(valid)[2:]
    ),
    "as a dictionary's part": lambda plant, valid: saved(torch.load(io.BytesIO(valid)) | {"views": plant}),
}


def test_the_plants_would_run(marker: Path) -> None:
    """What follows shows nothing unless they do."""
    pickle.loads(pickle.dumps(Plant(marker)))
    assert marker.is_dir()


@pytest.fixture(params=WAYS)
def planted(request: pytest.FixtureRequest, workshop: Workshop, marker: Path) -> bytes:
    checkpoint, _ = workshop.small_model()
    return WAYS[request.param](Plant(marker), checkpoint.read_bytes())


def test_a_checkpoint_runs_nothing(planted: bytes, workshop: Workshop, tmp_path: Path, marker: Path) -> None:
    checkpoint, _ = workshop.small_model()
    shutil.copytree(checkpoint.parent, tmp_path / "experiment")
    shutil.copytree(checkpoint.parent, tmp_path / "sound")
    config = torch.load(checkpoint, weights_only=True)["config"]
    (tmp_path / "experiment" / "config.json").write_text(json.dumps(config))
    (tmp_path / "experiment" / BEST).write_bytes(planted)
    (tmp_path / "weights.safetensors").write_bytes(planted)
    (tmp_path / "exported.onnx").write_bytes(planted)
    (tmp_path / "ensemble").mkdir()
    write_members(tmp_path / "ensemble", [tmp_path / "sound", tmp_path / "experiment"])
    network = torch.nn.Linear(1, 1)
    for work in (
        lambda: iqa.load(tmp_path / "experiment"),
        lambda: iqa.load(tmp_path / "experiment" / BEST),
        lambda: iqa.load(tmp_path / "ensemble"),
        lambda: iqa.load(tmp_path / "exported.onnx"),
        lambda: iqa.evaluate(tmp_path / "experiment", settings={"tracking.enabled": False}),
        lambda: load_pretrained(network, "test_resnet", str(tmp_path / "experiment" / BEST)),
        lambda: load_pretrained(network, "test_resnet", str(tmp_path / "weights.safetensors")),
    ):
        with pytest.raises(UserError, match=r"(best_model\.pth|weights\.safetensors|exported\.onnx)"):
            work()
    assert not marker.exists()


def test_a_training_goes_on_from_nothing_that_runs(
    planted: bytes, workshop: Workshop, tmp_path: Path, marker: Path
) -> None:
    folder = ExperimentFolder(tmp_path / "tiny")
    shutil.copytree(workshop.trained, folder.path)
    folder.last.write_bytes(planted)
    with pytest.raises(UserError, match="cannot be read"):
        Session(folder.read_config(), folder, resume=True, progress=False)
    assert not marker.exists()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, place_database: Callable[[Path], None]) -> dict[str, str]:
    """An MLflow store with a run, its logged model and a version, each of a sound model."""
    from iqa.config import ExperimentConfig
    from iqa.tracking.run import open_run
    from iqa.tracking.store import connect

    folder = tmp_path_factory.mktemp("mlflow")
    experiment = write_experiment(folder / "experiments" / "tiny")
    place_database(folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    config = ExperimentConfig(experiment_name="tiny", tracking={"uri": uri, "system_metrics": False})
    (experiment / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        client = connect(uri)
        with open_run(config, role="train", name="tiny", directory=experiment) as tracker:
            tracker.log_files(experiment)
            tracker.log_served_model(experiment)
        (output,) = client.get_run(tracker.run_id).outputs.model_outputs
        client.create_registered_model("quality")
        client.create_model_version("quality", f"models:/{output.model_id}", tracker.run_id, model_id=output.model_id)
        run = str(client.get_run(tracker.run_id).info.artifact_uri).removeprefix("file://")
        model = str(client.get_logged_model(output.model_id).artifact_location).removeprefix("file://")
    names = {"run": f"runs:/{tracker.run_id}", "model": f"models:/{output.model_id}", "version": "models:/quality/1"}
    return names | {"uri": uri, "run_files": run, "model_files": model}


@pytest.fixture
def tampered(store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The store, whose files a test may change: they are put back afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store["uri"])
    monkeypatch.chdir(tmp_path)
    for name in ("run_files", "model_files"):
        shutil.copytree(store[name], tmp_path / "kept" / name)
    yield store
    for name in ("run_files", "model_files"):
        shutil.rmtree(store[name])
        shutil.copytree(tmp_path / "kept" / name, store[name])


def test_a_runs_checkpoint_that_was_replaced_runs_nothing(
    planted: bytes, tampered: dict[str, str], marker: Path
) -> None:
    (Path(tampered["run_files"]) / BEST).write_bytes(planted)
    for work in (lambda: iqa.load(tampered["run"]), lambda: iqa.evaluate(tampered["run"])):
        with pytest.raises(UserError, match=r"best_model\.pth cannot be read"):
            work()
    checkpoints = list(Path(tampered["model_files"]).rglob(BEST))
    assert checkpoints
    for checkpoint in checkpoints:
        checkpoint.write_bytes(planted)
    for name in ("model", "version"):
        with pytest.raises(UserError, match=r"best_model\.pth cannot be read"):
            iqa.load(tampered[name])
    assert not marker.exists()


def test_of_a_logged_model_its_checkpoint_alone_is_taken(tampered: dict[str, str], marker: Path) -> None:
    """Code that was planted beside the checkpoint, in every file that MLflow itself would run, stays where it is."""
    folder = Path(tampered["model_files"])
    code = f"import os; os.makedirs({str(marker)!r}, exist_ok=True)\n"
    sources = list(folder.rglob("*.py"))
    assert len(sources) > 50
    for source in sources:
        source.write_text(code, encoding="utf-8")
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Plant(marker)))
    (folder / "code" / "sitecustomize.py").write_text(code, encoding="utf-8")
    for name in ("model", "version", "run"):
        assert iqa.load(tampered[name], device="cpu").score_name == "MOS"
    assert not marker.exists()


@pytest.mark.parametrize("path", ["../../../secret.pth", "/etc/hostname", "artifacts/../../secret.pth", "a\0b"])
def test_a_model_names_no_checkpoint_outside_itself(tampered: dict[str, str], path: str) -> None:
    folder = Path(tampered["model_files"])
    described = folder / "MLmodel"
    content = yaml.safe_load(described.read_text())
    content["flavors"]["python_function"]["artifacts"]["checkpoint"]["path"] = path
    described.write_text(yaml.safe_dump(content))
    shutil.copy(next(folder.rglob(BEST)), folder.parents[1] / "secret.pth")
    with pytest.raises(UserError, match="outside itself"):
        iqa.load(tampered["model"])
    with pytest.raises(UserError, match="outside itself"):
        checkpoint_of(folder)


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.mkdir ['{marker}']", "flavors: 3", "[", "\0", "flavors: {{}}"]
)
def test_a_models_description_runs_nothing(tampered: dict[str, str], marker: Path, text: str) -> None:
    (Path(tampered["model_files"]) / "MLmodel").write_text(text.format(marker=marker))
    with pytest.raises(UserError):
        iqa.load(tampered["model"])
    assert not marker.exists()


def test_an_array_of_objects_in_the_cache_runs_nothing(workshop: Workshop, tmp_path: Path, marker: Path) -> None:
    """Also where whoever planted it wrote the record of the folder anew."""

    def squares() -> object:
        names = workshop.names[:2]
        read = lambda name: read_rgb(workshop.pictures / name)  # noqa: E731
        return open_squares(tmp_path / "cache", "s", "f", names, read, ViewPolicy(24), workers=1)

    squares()
    (starts,) = (tmp_path / "cache").rglob("starts.npy")
    np.save(starts, np.array([Plant(marker)], dtype=object), allow_pickle=True)
    record = json.loads((starts.parent / RECORD).read_text())
    record["files"]["starts.npy"] = describe(starts)
    (starts.parent / RECORD).write_text(json.dumps(record))
    note_whole(starts.parent, record["files"])
    with pytest.raises(UserError, match=r"starts\.npy"):
        squares()
    assert not marker.exists()


def test_a_tensor_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    valid = saved({"format": 2, "model": {"a": torch.zeros(1000)}})
    for old, new in ((b"M\xe8\x03", b"J\xff\xff\xff\x7f"), (b"K\x01\x85", b"J\xff\xff\xff\x7f\x85")):
        (tmp_path / "huge.pth").write_bytes(with_pickle(valid, pickle_inside(valid).replace(old, new)))
        with pytest.raises(UserError):
            load_checkpoint(tmp_path / "huge.pth")["model"]["a"].sum()
    with zipfile.ZipFile(tmp_path / "empty.pth", "w"):
        pass
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "empty.pth")
