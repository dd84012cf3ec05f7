"""A model at work on any pictures: what a score depends on, what it does not, and where models come from."""

from __future__ import annotations

import base64
import gc
import io
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_model import SIDE, picture, write_experiment

import iqa
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError
from iqa.scoring import SCORES, Scorer, load_scorer
from iqa.scoring import picture as pictures_module

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("experiments") / "tiny")


@pytest.fixture(scope="module")
def scorer(experiment: Path) -> Scorer:
    return load_scorer(experiment)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of many shapes: wide, tall, square, small."""
    folder = tmp_path_factory.mktemp("pictures")
    shapes = [(90, 60), (60, 90), (64, 64), (300, 50), (20, 30), (48, 48), (50, 200)]
    paths = []
    for number in range(21):
        paths.append(folder / f"{number:02}.png")
        picture(number, *shapes[number % len(shapes)]).save(paths[-1])
    return paths


def close(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Equal up to float rounding."""
    figures = ["score", "calibrated", "log_likelihood"]
    same_clusters = list(one["cluster"]) == list(other["cluster"])
    return same_clusters and np.allclose(one[figures], other[figures], rtol=1e-4, atol=2e-5, equal_nan=True)


# What a score depends on


def test_scores_differ_between_pictures_and_name_their_cluster(scorer: Scorer, files: list[Path]) -> None:
    table = scorer.score(files)
    assert tuple(table.columns) == SCORES
    assert table["score"].std() > 0.01
    assert set(table["cluster"]) <= {0, 1, 2}
    assert table["cluster"].nunique() > 1
    assert np.isfinite(table["log_likelihood"]).all()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_a_score_does_not_depend_on_its_company(scorer: Scorer, files: list[Path], batch_size: int) -> None:
    alone = pd.concat([scorer.score([file]) for file in files], ignore_index=True)
    backwards = pd.concat(scorer.score_stream(files[::-1], batch_size=batch_size))
    assert list(backwards.index) == list(range(len(files)))
    assert close(alone, backwards[::-1].reset_index(drop=True))


def test_a_picture_is_the_mean_over_its_squares(files: list[Path], tmp_path: Path) -> None:
    scorer = load_scorer(write_experiment(tmp_path / "tiny", precision="float32"))
    assert scorer.views == ViewPolicy(SIDE)
    wide = files[3]
    squares = torch.from_numpy(scorer.views.cut(Image.open(wide))).permute(0, 3, 1, 2)
    assert len(squares) == 4
    with torch.inference_mode():
        said = scorer.model(squares)
    row = scorer.score([wide]).iloc[0]
    assert row["score"] == pytest.approx(float(said.score.mean()), abs=1e-5)
    assert row["log_likelihood"] == pytest.approx(float(said.log_likelihood.mean()), rel=1e-4)
    assert row["cluster"] == int(said.responsibilities.mean(0).argmax())


@pytest.mark.parametrize("views", [ViewPolicy(SIDE, "squash"), ViewPolicy(SIDE, crops=2), ViewPolicy(32, "none", 9)])
def test_pictures_are_cut_as_the_checkpoint_says(
    experiment: Path, files: list[Path], tmp_path: Path, views: ViewPolicy
) -> None:
    plain = load_scorer(experiment)
    cut = load_scorer(write_experiment(tmp_path / "tiny", views=views.to_dict()))
    assert cut.views == views
    score = cut.score([files[3]])["score"][0]
    assert score == pytest.approx(cut._predict(list(views.cut(Image.open(files[3]))))[:, 0].mean(), abs=1e-5)
    assert score != pytest.approx(plain.score([files[3]])["score"][0], abs=1e-3)


def test_every_kind_of_picture_is_the_same_picture(scorer: Scorer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    file = tmp_path / "turned.png"
    picture(4).save(file, exif=exif)
    encoded = file.read_bytes()
    upright = np.asarray(picture(4).transpose(Image.Transpose.ROTATE_270))
    kinds: list[Any] = [file, str(file), encoded, base64.b64encode(encoded).decode(), Image.open(file), upright]
    table = scorer.score(kinds)
    assert np.ptp(table["score"]) < 1e-5
    assert abs(table["score"][0] - scorer.score([picture(4)])["score"][0]) > 1e-4


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_calibrated_scores_are_on_the_scale_of_the_training_set(
    files: list[Path], tmp_path: Path, higher_is_better: bool
) -> None:
    parameters = [0.9, 0.1, 0.5, 0.2]
    known = {"parameters": parameters, "linear": False, "low": 1.0, "high": 5.0, "higher_is_better": higher_is_better}
    table = load_scorer(write_experiment(tmp_path / "tiny", calibration=known)).score(files)
    unit = 0.1 + 0.8 / (1 + np.exp(-(table["score"] - 0.5) / 0.2))
    expected = 1 + 4 * (unit if higher_is_better else 1 - unit)
    np.testing.assert_allclose(table["calibrated"], expected, rtol=1e-6)
    assert table["calibrated"].between(1, 5).all()


def test_without_scale_and_mixture_their_columns_are_empty(files: list[Path], tmp_path: Path) -> None:
    table = load_scorer(write_experiment(tmp_path / "tiny", clusters=0)).score(files[:3])
    assert table["score"].notna().all()
    assert table[["calibrated", "cluster", "log_likelihood"]].isna().all(axis=None)


def test_no_pictures_are_no_rows(scorer: Scorer) -> None:
    assert tuple(scorer.score([]).columns) == SCORES
    assert list(scorer.score([], on_error="row").columns) == [*SCORES, "error", "note"]
    assert len(scorer.score([])) == 0


# Pictures that are none


def test_an_unreadable_picture_is_named(scorer: Scorer, files: list[Path], tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(files[0].read_bytes()[:200])
    with pytest.raises(UserError, match=r"torn\.png"):
        scorer.score([files[0], torn])
    for wrong in (tmp_path, "nowhere.png", b"text", "A" * 600, np.zeros((4, 4), np.uint8), Image.new("F", (9, 9))):
        with pytest.raises(UserError, match="cannot be read"):
            scorer.score([wrong])


def test_an_unreadable_picture_gets_a_row_with_the_reason(scorer: Scorer, files: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    mixed: list[Any] = [text, files[0], tmp_path / "gone.png", files[1], files[2], text]
    table = scorer.score(mixed, on_error="row")
    assert [reason is None for reason in table["error"]] == [False, True, False, True, True, False]
    assert table["error"][2] == "no such file"
    assert table["score"].isna().equals(table["error"].notna())
    assert table["cluster"].isna().equals(table["error"].notna())
    good = table[table["error"].isna()].drop(columns="error").reset_index(drop=True)
    assert close(good, scorer.score(files[:3]))


def test_a_decoder_that_fails_in_its_own_way_costs_one_picture(
    scorer: Scorer, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pictures_module.read_rgb

    def fragile(path: Path) -> Image.Image:
        if path == files[1]:
            raise IndexError("list index out of range")
        return read(path)

    monkeypatch.setattr(pictures_module, "read_rgb", fragile)
    table = scorer.score(files[:3], on_error="row")
    assert list(table["error"].isna()) == [True, False, True]
    assert "IndexError" in table["error"][1]


def test_a_line_of_pixels_is_refused_before_it_fills_the_memory(scorer: Scorer) -> None:
    (reason,) = scorer.score([np.zeros((1, 200_000, 3), np.uint8)], on_error="row")["error"]
    assert "too narrow" in reason


def test_a_model_that_gives_no_number_says_so(files: list[Path], tmp_path: Path) -> None:
    scorer = load_scorer(write_experiment(tmp_path / "tiny"))
    with torch.no_grad():
        scorer.model.head.regressor[-1].bias.fill_(torch.nan)
    assert list(scorer.score(files[:2], on_error="row")["error"]) == ["the model gives no score"] * 2


# Any number of pictures


def test_few_pictures_are_in_memory_at_once(scorer: Scorer, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read, lock, alive, most, asked = pictures_module.read_rgb, threading.Lock(), [0], [0], [0]

    def count(change: int) -> None:
        with lock:
            alive[0] += change
            most[0] = max(most[0], alive[0])

    def counting(path: Path) -> Image.Image:
        image = read(path)
        count(+1)
        weakref.finalize(image, count, -1)
        return image

    def endless() -> Iterator[Path]:
        for number in range(600):
            asked[0] += 1
            yield files[number % len(files)]

    monkeypatch.setattr(pictures_module, "read_rgb", counting)
    workers, batch_size = 3, 8
    given = 0
    for table in scorer.score_stream(endless(), batch_size=batch_size, workers=workers):
        given += len(table)
        # What is decoded ahead, and what waits for a full batch.
        assert asked[0] - given <= workers + 1 + batch_size + batch_size
    gc.collect()
    assert given == 600
    assert alive[0] == 0
    assert most[0] <= 2 * workers


def test_a_stream_that_is_left_early_ends_its_threads(scorer: Scorer, files: list[Path]) -> None:
    stream = scorer.score_stream(files * 20, workers=2, batch_size=2)
    next(stream)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while [thread for thread in threading.enumerate() if thread.name.startswith("decode")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"workers": 0}])
def test_counts_are_counts(scorer: Scorer, files: list[Path], wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="counts"):
        next(scorer.score_stream(files, **wrong))


# Where models come from


@pytest.fixture(scope="module")
def registry(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store with a training's run, its logged model and a registered version of it, by the names of `iqa.load`."""
    from iqa.config import ExperimentConfig
    from iqa.tracking import open_run
    from iqa.tracking.store import connect

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        client = connect(uri)
        config = ExperimentConfig(experiment_name="tiny", tracking={"uri": uri, "system_metrics": False})
        with open_run(config, role="train", name="tiny", directory=experiment) as tracker:
            tracker.log_files(experiment)
            tracker.log_served_model(experiment)
        with open_run(config, role="train", name="empty") as empty:
            pass
        (output,) = client.get_run(tracker.run_id).outputs.model_outputs
        client.create_registered_model("quality")
        client.create_model_version("quality", f"models:/{output.model_id}", tracker.run_id, model_id=output.model_id)
        client.set_registered_model_alias("quality", "champion", "1")
    return {
        "store": uri,
        "run": f"runs:/{tracker.run_id}",
        "model of a run": f"runs:/{tracker.run_id}/model",
        "logged model": f"models:/{output.model_id}",
        "version": "models:/quality/1",
        "latest": "models:/quality/latest",
        "alias": "models:/quality@champion",
        "empty": f"runs:/{empty.run_id}",
    }


@pytest.mark.parametrize("kind", ["run", "model of a run", "logged model", "version", "latest", "alias"])
def test_a_model_is_loaded_from_mlflow_and_nothing_is_left_behind(
    registry: dict[str, str], scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry["store"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    loaded = iqa.load(registry[kind], device="cpu")
    assert (loaded.digest, loaded.epoch, loaded.score_name) == (scorer.digest, 7, "MOS")
    assert [path for path in tmp_path.iterdir() if path.name.startswith("iqa-model-")] == []


@pytest.mark.parametrize(
    "name", ["models:/", "models:/quality/9", "models:/nobody/1", "models:/quality@nobody", "runs:/" + "0" * 32]
)
def test_a_model_that_mlflow_does_not_have_is_the_users_error(
    registry: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry["store"])
    with pytest.raises(UserError, match="models:/<name>/<version>"):
        iqa.load(name)


def test_a_run_without_a_model_is_the_users_error(registry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry["store"])
    with pytest.raises(UserError, match=r"best_model\.pth"):
        iqa.load(registry["empty"])


def test_a_model_is_loaded_from_a_folder_or_a_file(experiment: Path, files: list[Path], scorer: Scorer) -> None:
    for place in (experiment, str(experiment), experiment / "best_model.pth"):
        assert close(iqa.load(place, device="cpu").score(files[:2]), scorer.score(files[:2]))
    with pytest.raises(UserError, match="does not exist"):
        iqa.load(experiment / "nowhere")


def test_importing_iqa_waits_for_nothing_heavy() -> None:
    code = (
        "import sys, iqa; assert 'load' in dir(iqa); print({'torch', 'mlflow', 'numpy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_bytes_of_a_jpeg_are_read(scorer: Scorer) -> None:
    buffer = io.BytesIO()
    picture(2).save(buffer, "JPEG")
    assert np.isfinite(scorer.score([buffer.getvalue()])["score"][0])
