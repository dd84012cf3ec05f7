"""A model where pictures arrive: in requests, in other processes, between other people's random numbers."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, features
from tiny_model import picture, write_experiment

from iqa.scoring import Scorer, load_scorer
from iqa.scoring.sent import NOT_HELD


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("experiments") / "tiny")


@pytest.fixture(scope="module")
def scorer(experiment: Path) -> Scorer:
    return load_scorer(experiment, "cpu")


def encoded(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture(2, 80, 60).save(buffer, kind)
    return buffer.getvalue()


def usual(content: bytes) -> str:
    return base64.b64encode(content).decode()


TEXTS: dict[str, Callable[[bytes], str]] = {
    "as it is": usual,
    "a line's end": lambda content: usual(content) + "\n",
    "many lines": lambda content: base64.encodebytes(content).decode(),
    "lines of Windows": lambda content: base64.encodebytes(content).decode().replace("\n", "\r\n"),
    "letters of addresses": lambda content: base64.urlsafe_b64encode(content).decode(),
    "without its end": lambda content: usual(content).rstrip("="),
    "an address": lambda content: "data:image/png;base64," + usual(content),
    "an address with parameters": lambda content: "data:image/png;name=a.png;BASE64," + usual(content),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_base64_is_read_however_it_is_written(scorer: Scorer, text: Callable[[bytes], str]) -> None:
    content = encoded()
    expected = scorer.score([content])["score"]
    assert scorer.score([text(content)])["score"].equals(expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_a_small_picture_of_every_format_is_told_from_a_path(scorer: Scorer, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, kind)
    assert np.isfinite(scorer.score([usual(buffer.getvalue())])["score"][0])


def test_a_text_that_is_no_picture_says_what_it_is(scorer: Scorer, tmp_path: Path) -> None:
    texts = [
        "holiday",
        str(tmp_path),
        "data:image/png,abc",
        "data:image/png;base64,####",
        "?" * 600,
        usual(b"%PDF" * 200),
    ]
    errors = scorer.score([*texts, None, float("nan"), pd.NA, pd.NaT, 7.5], on_error="row")["error"]
    assert list(errors) == [
        "no such file",
        "a folder, no picture",
        "a data: address is a picture if it holds base64",
        "a data: address is a picture if it holds base64",
        "neither a path nor a picture in base64",
        "no picture, but PDF",
        *["no picture was given"] * 4,
        "a float is no picture",
    ]


ASK = """
import json, sys
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(json.loads(model.predict(json.load(sys.stdin)).to_json(orient="records"))))
"""


def test_one_bad_picture_costs_a_request_nothing_else(
    experiment: Path, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iqa.config import ExperimentConfig
    from iqa.tracking import open_run
    from iqa.tracking.store import connect

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = ExperimentConfig(experiment_name="tiny", tracking={"uri": uri, "system_metrics": False})
    client = connect(uri)
    with open_run(config, role="train", name="tiny", directory=experiment) as tracker:
        tracker.log_served_model(experiment)
    (model,) = client.get_run(tracker.run_id).outputs.model_outputs
    asked = [
        {"image": text} for text in (usual(encoded()), str(experiment / "config.json"), None, usual(encoded("JPEG")))
    ]
    done = subprocess.run(
        [sys.executable, "-c", ASK, f"models:/{model.model_id}"],
        input=json.dumps(asked),
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert [row["error"] for row in answer] == [None, NOT_HELD, "no picture was given", None]
    assert [row["score"] is None for row in answer] == [False, True, True, False]
    assert answer[0]["score"] == pytest.approx(scorer.score([encoded()])["score"][0], abs=1e-4)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_a_scorer_can_be_pickled(tmp_path: Path, backbone: str) -> None:
    scorer = load_scorer(write_experiment(tmp_path / "tiny", backbone=backbone), "cpu")
    expected = scorer.score([encoded()])
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.score([encoded()]).equals(expected)
    assert copy.digest == scorer.digest


def _score_in_child(scorer: Scorer, answers: multiprocessing.Queue) -> None:
    answers.put(float(scorer.score([encoded()])["score"][0]))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_scorer_works_in_a_child_of_a_process_that_has_used_threads(scorer: Scorer, start: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system starts no process by {start}")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = scorer.score([encoded()])["score"][0]
        torch.rand(512, 512) @ torch.rand(512, 512)  # the pool of threads that a child does not have
        context = multiprocessing.get_context(start)
        answers = context.Queue()
        child = context.Process(target=_score_in_child, args=(scorer, answers), daemon=True)
        child.start()
        try:
            assert answers.get(timeout=60) == pytest.approx(expected, abs=1e-4)
        finally:
            child.kill()
    finally:
        torch.set_num_threads(before)


def test_loading_a_model_draws_no_random_numbers(experiment: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_scorer(experiment, "cpu").score([encoded()])
    assert torch.equal(torch.rand(4), expected)
