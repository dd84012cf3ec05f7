"""The functions of the library, as a notebook calls them: silent, repeatable, from any thread, nothing left changed."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from tiny_model import picture

import iqa
from iqa.config.reading import build_config
from iqa.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY: dict[str, Any] = {
    "data": {"dataset": "photos", "train_samples": 60, "val_samples": 30, "test_samples": 30, "batch_size": 30,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2,
              "mixture": {"dim": 2}},
    "training": {"epochs": 2, "device": "cpu", "intervals": False},
    "tuning": {"space": {"model.n_clusters": {"choices": [0, 2]}}, "range_values": 3},
}  # fmt: skip


def tiny(name: str, **model: Any) -> dict[str, Any]:
    return {"experiment_name": name, **TINY, "model": TINY["model"] | model}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A notebook's folder, with one experiment trained in it."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        iqa.train(tiny("first"))
        iqa.train(tiny("second", n_clusters=0))
        (folder / "photos").mkdir()
        for number in range(4):
            picture(number).save(folder / "photos" / f"{number}.png")
        (folder / "rated").mkdir()
        for number in range(20):
            picture(number).save(folder / "rated" / f"{number}.png")
        rows = [f"{number}.png,{1 + number % 5}" for number in range(20)]
        (folder / "rated" / "scores.csv").write_text("\n".join(["image,mos", *rows]))
        yield folder


CALLS: dict[str, Callable[[], Any]] = {
    "train": lambda: iqa.train(tiny("again")),
    "repeats": lambda: iqa.train(tiny("splits"), repeats=2, resume=True),
    "evaluate": lambda: iqa.evaluate("experiments/first"),
    "compare": lambda: iqa.compare([tiny("first"), tiny("second", n_clusters=0)]),
    "tune": lambda: iqa.tune(tiny("first"), trials=3),
    "ensemble": lambda: iqa.ensemble(["experiments/first", "experiments/second"], skip_tsne=True),
    "score": lambda: iqa.score("experiments/first", "photos"),
    "audit": lambda: iqa.audit("rated"),
}


def state() -> dict[str, Any]:
    """What a process has only one of."""
    import matplotlib as mpl
    import mlflow
    import optuna
    import torch

    return {
        "torch's seed": torch.get_rng_state().tolist(),
        "numpy's seed": repr(np.random.get_state()),
        "Python's seed": random.getstate(),
        "threads": torch.get_num_threads(),
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "matplotlib": {key: value for key, value in mpl.rcParams.items() if not key.startswith("backend")},
        "active run": mlflow.active_run(),
        "tracking address": mlflow.get_tracking_uri(),
        "handlers": list(logging.getLogger().handlers),
        "level": logging.getLogger().level,
        "MLflow's loggers": [logging.getLogger(name).level for name in ("mlflow", "mlflow.pyfunc", "alembic")],
        "Optuna's loudness": optuna.logging.get_verbosity(),
        "filters of warnings": len(warnings.filters),
        "excepthook": sys.excepthook,
    }


@contextmanager
def unchanged() -> Iterator[None]:
    before = state()
    yield
    after = state()
    assert {key for key in before if before[key] != after[key]} == set()


def in_a_thread(call: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    assert found, "the call failed in its thread"
    return found[0]


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_can_be_repeated_and_made_from_a_thread_and_leaves_the_process_as_it_was(
    verb: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    call = CALLS[verb]
    first = call()
    capfd.readouterr()
    with unchanged():
        second = call()
    with unchanged():
        third = in_a_thread(call)
    assert first.figures() == second.figures() == third.figures()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("verb", CALLS)
def test_a_result_shows_itself(verb: str, place: Path) -> None:
    result = CALLS[verb]()
    assert str(result.folder) in repr(result)
    assert all(value in repr(result) for _, value in result.figures())
    page = result._repr_html_()
    assert page.count("<img ") == len(result.pictures())
    assert all(f">{name}</th>" in page for name, _ in result.figures())
    assert isinstance(result.plot(), Figure)


def test_a_tests_figures_come_with_intervals_and_its_pictures(place: Path) -> None:
    tested = iqa.evaluate("experiments/first")
    found = tested.results["metrics"]["srcc"]
    assert ("SRCC", f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]") in tested.figures()
    assert {path.name for path in tested.pictures()} == set(tested.results["figures"])
    assert isinstance(tested.plot("features_pca"), Figure)
    with pytest.raises(UserError, match="did you mean 'features_tsne'"):
        tested.plot("features_tsn")


def test_a_config_is_a_file_a_dict_or_an_object_and_all_mean_the_same(place: Path) -> None:
    values = tiny("three")
    Path("three.json").write_text(json.dumps(values))
    results = [
        iqa.train(config, settings={"tracking.enabled": False}, output=f"out{number}")
        for number, config in enumerate(("three.json", values, build_config(values)))
    ]
    assert results[0].figures() == results[1].figures() == results[2].figures()
    assert values == tiny("three"), "what a caller gives is not changed"


def test_a_standard_experiment_is_known_by_its_name() -> None:
    from iqa.config.reading import read_config

    assert read_config("resnet50_gmm_mlp").model.backbone == "resnet50"
    with pytest.raises(UserError, match="resnet51_gmm_mlp"):
        read_config("resnet51_gmm_mlp")


def test_a_loss_of_ones_own_teaches_the_model(place: Path) -> None:
    asked = []

    def loss(prediction: Any, true: Any, weights: Any) -> Any:
        asked.append(len(true))
        return (prediction.score - true).abs().mean()

    settings = {"tracking.enabled": False, "model.n_clusters": 0}
    own = iqa.train(tiny("own"), settings=settings, loss=loss)
    usual = iqa.train(tiny("usual"), settings=settings)
    assert asked == [30, 30] * 2
    assert own.history[0].train_loss != usual.history[0].train_loss


def test_spoken_to_it_says_what_the_command_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    iqa.train(tiny("loud"), settings={"tracking.enabled": False}, verbose=True)
    said = capsys.readouterr().out
    assert said.startswith("backbone test_resnet")
    assert "epoch 2/2" in said


def test_what_is_wrong_is_an_exception_with_words() -> None:
    with pytest.raises(UserError, match=r"model\.n_cluster: unknown key; did you mean 'model\.n_clusters'"):
        iqa.train(tiny("wrong"), settings={"model.n_cluster": 3})
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        iqa.trian  # noqa: B018
