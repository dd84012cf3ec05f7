"""An exported model says what the checkpoint says, where there is no torch, and no other file is ever left."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from tiny_model import SIDE, picture, write_experiment

import iqa
from iqa.commands.main import main
from iqa.config.reading import build_config
from iqa.deploy.export import proof, write
from iqa.deploy.export.examples import Examples
from iqa.deploy.export.exporting import Exported, export
from iqa.deploy.export.graph import SquareJudge, factors
from iqa.deploy.export.operators import solve_lower
from iqa.deploy.export.quantise import rounded
from iqa.deploy.export.write import to_onnx
from iqa.errors import IqaError, UserError
from iqa.model.quality import QualityModel
from iqa.scoring import SCORES, OnnxScorer, Scorer
from iqa.scoring.onnx_scorer import METADATA
from iqa.tracking import write_run_note
from iqa.training.checkpoints import save_checkpoint

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

#: On a scale of 1 to 5 where less is better, and an interval that is wider for one component.
CALIBRATION = {"parameters": [1.0, 0.0, 0.5, 0.2], "linear": False, "low": 1, "high": 5, "higher_is_better": False}
INTERVALS = {
    "weights": [0.3, -0.2, 0.1, 0.5, 0.2, -0.1, 0.05],
    "bias": -3.0,
    "ratios": {-1: [n / 100 for n in range(200)], 1: [n / 50 for n in range(200)]},
    "note": "",
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two heads and three components, in float32, with a calibration and intervals."""
    folder = tmp_path_factory.mktemp("experiments") / "tiny"
    return write_experiment(folder, precision="float32", calibration=CALIBRATION, intervals=INTERVALS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        picture(number).save(folder / f"{number:02}.png")
    (folder / "torn.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def exported(experiment: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(experiment, tmp_path_factory.mktemp("exported") / "tiny.onnx", pictures=photos)


def test_it_scores_as_the_checkpoint_does(experiment: Path, exported: Exported, photos: Path) -> None:
    pictures = [*sorted(photos.glob("*.png")), photos / "torn.jpg"]
    ours, theirs = (iqa.load(model, "cpu").score(pictures, on_error="row") for model in (experiment, exported.file))
    assert list(theirs.columns) == [*SCORES, "error", "note"]
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4, atol=1e-4)
    assert theirs["calibrated_low"].notna().sum() == 12


def test_its_report_lies_beside_it(exported: Exported) -> None:
    report = json.loads(exported.report_file.read_text())
    assert report == exported.report
    assert report["pictures"] == 12
    assert report["max_difference"] < 1e-4
    assert report["srcc"] > 0.9999
    assert report["versions"]["onnxruntime"]
    assert report["opset"] == onnx.load(exported.file).opset_import[0].version
    assert report["bytes"] == exported.file.stat().st_size
    assert [path.name for path in exported.file.parent.iterdir() if path.name.startswith(".")] == []


def test_where_torch_is_not_installed(
    run: Callable[..., Any], exported: Exported, photos: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision', 'timm', 'piq', 'safetensors'):\n"
        "            raise ImportError(f'no {name}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from iqa.commands.main import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ("score", "--model", exported.file, "--input", photos, "--output", "scores")
    done = run("-c", code, *arguments, "--tracking.enabled", "false")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "scores" / "scores.csv", dtype={"cluster": "Int64"})
    assert list(table.columns) == ["image", *SCORES, "error", "note"]
    direct = OnnxScorer(exported.file).score(sorted(photos.glob("*.png")))
    pd.testing.assert_frame_equal(table.loc[:11, list(SCORES)], direct, rtol=1e-6)
    # What needs it says so.
    done = run("-c", code, "score", "--model", photos, "--input", photos)
    assert done.returncode == 2
    assert "cannot be loaded without torch" in done.stderr


def test_the_graph_alone_tells_the_interval_of_a_square(experiment: Path, exported: Exported) -> None:
    import onnxruntime

    scorer = Scorer(experiment / "best_model.pth", "cpu")
    squares = np.stack([scorer.views.cut(picture(number, SIDE, SIDE))[0] for number in range(5)])
    session = onnxruntime.InferenceSession(exported.file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    said = dict(zip(names, session.run(None, {"squares": squares}), strict=True))
    table = scorer.score(list(squares))
    assert names == ["score", "spread", "log_likelihood", "responsibilities", "cluster", "low", "high"]
    np.testing.assert_allclose(said["low"], table["low"], atol=1e-4)
    np.testing.assert_allclose(said["high"], table["high"], atol=1e-4)
    np.testing.assert_array_equal(said["cluster"], table["cluster"].to_numpy(int))
    np.testing.assert_allclose(said["responsibilities"].sum(axis=1), 1, atol=1e-5)


def test_it_works_pickled_and_in_parts_of_a_batch(exported: Exported) -> None:
    scorer, pictures = OnnxScorer(exported.file), [picture(number) for number in range(7)]
    again = pickle.loads(pickle.dumps(scorer))
    parts = pd.concat(list(again.score_stream(pictures, batch_size=2)))
    pd.testing.assert_frame_equal(scorer.score(pictures), parts, atol=1e-5)


def _score_in_child(scorer: OnnxScorer, answers: Any) -> None:
    answers.put(scorer.score([picture(1)])["score"][0])


def test_it_works_in_a_child_of_a_process_that_has_used_it(exported: Exported) -> None:
    scorer, context = OnnxScorer(exported.file), multiprocessing.get_context("fork")
    expected, answers = scorer.score([picture(1)])["score"][0], context.Queue()
    child = context.Process(target=_score_in_child, args=(scorer, answers))
    child.start()
    assert answers.get(timeout=60) == pytest.approx(expected, abs=1e-6)
    child.join()


def test_the_run_of_the_experiment_has_the_report(
    exported: Exported, experiment: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(store)
    run = client.create_run(client.create_experiment("iqa", artifact_location=str(tmp_path / "kept"))).info.run_id
    folder = shutil.copytree(experiment, tmp_path / "tiny")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    write_run_note(folder, run_id=run, tracking_uri=store, experiment_id="1")
    monkeypatch.setattr(write, "to_onnx", lambda *_: onnx.load(exported.file))
    done = export(folder, pictures=photos)
    assert done.file == folder / "best_model.onnx"
    (kept,) = client.list_artifacts(run, "export")
    assert kept.path == "export/best_model.onnx.report.json"


#: Each family of networks and each setting that changes what is computed, together and as small as they come: tracing
#: takes seconds. Every export proves its own network on real pictures besides.
NETWORKS: dict[str, dict[str, Any]] = {
    "convolutions that pad as TensorFlow's, frozen": {
        "backbone": "tf_efficientnet_lite0", "freeze_backbone": True, "pca_dim": 8, "normalise": "by_map"},
    "two sizes, heads for parts": {
        "backbone": "test_efficientnet", "scales": [1.0, 0.625], "part_heads": 1, "heads": 2, "pca_dim": 8,
        "freeze_backbone": True, "pooling": "bilinear", "centre_pooling": True, "n_clusters": 0},
    "joined, fine-tuned, mirrored": {
        "backbone": "test_vit+test_convnext", "stages": "early", "standardise": True,
        "mixture": {"dim": 3, "covariance": "tied"}},
}  # fmt: skip


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_every_network_is_the_same_in_onnx(settings: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best_model.pth", settings)
    scorer = Scorer(checkpoint, "cpu")
    file = tmp_path / "best_model.onnx"
    file.write_bytes(to_onnx(scorer, checkpoint).SerializeToString())
    pictures = [picture(number) for number in range(3)]
    ours, theirs = (each.score(pictures) for each in (scorer, OnnxScorer(file, "cpu")))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4, atol=1e-4)


def write_checkpoint(path: Path, model: dict[str, Any], side: int = 64) -> Path:
    """A checkpoint of random weights whose scores differ, and whose mixture has been started where it has one."""
    small = {"pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2, "mixture": {"dim": 3}}
    training = {"device": "cpu", "precision": "float32"}
    config = build_config({"experiment_name": "any", "model": small | model, "training": training})
    torch.manual_seed(0)
    network = QualityModel.from_config(config.model, side).eval()
    torch.nn.init.normal_(network.head.regressor[-1].weight, std=0.3)
    if network.mixture is not None:
        seen = torch.stack([torch.from_numpy(np.asarray(picture(n, side, side)).copy()) for n in range(12)])
        with torch.no_grad():
            points = network(seen.permute(0, 3, 1, 2)).embedding
        network.start_mixture(points, torch.arange(12) % 3, config.model.mixture)
    content = {"config": config.to_dict(), "image_size": side, "picture_size": side, "score_name": "MOS", "epoch": 1}
    save_checkpoint(path, {**content, "model": network.state_dict()})
    return path


def test_a_triangular_system_is_solved_row_by_row() -> None:
    random = torch.Generator().manual_seed(0)
    factor = torch.randn(9, 9, generator=random).tril() + 3 * torch.eye(9)
    columns = torch.randn(9, 4, generator=random)
    expected = torch.linalg.solve_triangular(factor, columns, upper=False)
    torch.testing.assert_close(solve_lower(factor, columns, upper=False), expected)


def test_too_few_pictures_for_an_interval_are_the_whole_scale(experiment: Path) -> None:
    scorer = Scorer(experiment / "best_model.pth", "cpu")
    assert scorer.calibration is not None
    assert scorer.calibration.intervals is not None
    assert factors(scorer.calibration.intervals, 0.9) == pytest.approx([1.8, 3.6, 1.8])
    judge = SquareJudge(scorer.model, scorer.calibration, coverage=0.999)
    low, high = judge(torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8))[-2:]
    assert (low.item(), high.item()) == (0, 1)


def test_rounded_weights_are_near_and_keep_zero_channels() -> None:
    values = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    values[2] = 0
    whole, scale = rounded(values, 0)
    back = whole * scale[:, None, None, None]
    assert whole.dtype == np.int8
    assert np.abs(back - values).max() <= np.abs(values).max() / 127 / 2 + 1e-6
    assert not back[2].any()


def test_8_bit_weights_are_small_and_say_what_they_cost(
    exported: Exported, experiment: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "to_onnx", lambda *_: onnx.load(exported.file))
    small = export(experiment, tmp_path / "small.onnx", quantise=True, pictures=photos)
    assert small.report["weights"] == OnnxScorer(small.file).metadata["weights"] == "int8"
    assert small.file.stat().st_size < 0.6 * exported.file.stat().st_size
    assert small.report["srcc"] >= proof.LEAST_SRCC_OF_INT8
    assert small.report["float32"]["max_difference"] < 1e-4 < small.report["max_difference"]


def test_a_file_that_says_something_else_is_not_left(
    exported: Exported, experiment: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = onnx.load(exported.file)
    (bias,) = (each for each in wrong.graph.initializer if each.name == "model.head.regressor.3.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.002), bias.name))
    monkeypatch.setattr(write, "to_onnx", lambda *_: wrong)
    earlier = tmp_path / "model.onnx"
    earlier.write_text("what was there before")
    with pytest.raises(IqaError, match="does not score as the checkpoint does") as refused:
        export(experiment, earlier, pictures=photos)
    assert "over 12 pictures" in str(refused.value)
    assert earlier.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [earlier]


@pytest.mark.parametrize(
    ("found", "weights", "fits"),
    [
        ((1e-4, 1.0), "float32", True),
        ((2e-3, 1.0), "float32", False),
        ((1e-4, 0.999), "float32", False),
        ((2e-2, 0.99), "int8", True),
        ((2e-2, 0.97), "int8", False),
        ((0.0, None), "float32", True),
    ],
)
def test_how_far_a_file_may_differ(found: tuple[float, float | None], weights: str, fits: bool) -> None:
    agreement = proof.Agreement(40, *found, same_cluster=None)
    if fits:
        proof.refuse_disagreement(agreement, weights)
    else:
        with pytest.raises(IqaError, match="no file is left"):
            proof.refuse_disagreement(agreement, weights)


@dataclass
class Answers:
    """What gives pictures these scores."""

    scores: np.ndarray
    calibration: None = None

    def score(self, pictures: Sequence[object], *, on_error: str) -> pd.DataFrame:
        columns = ("low", "high", "calibrated", "calibrated_low", "calibrated_high", "cluster", "error")
        return pd.DataFrame({"score": self.scores, **dict.fromkeys(columns, np.nan)})


@pytest.mark.parametrize(("spread", "ordered"), [(1e-6, True), (1e-2, False)])
def test_what_rounding_swaps_is_no_other_order(spread: float, ordered: bool) -> None:
    ours = 0.5 + spread * np.random.default_rng(0).uniform(size=24)
    found = proof.compare(Answers(ours), Answers(ours[::-1].copy()), Examples([b""] * 24, "drawn", None))
    assert (found.srcc == 1) is ordered


def test_people_are_asked_where_they_scored(experiment: Path) -> None:
    scorer = Scorer(experiment / "best_model.pth", "cpu")
    pictures = [picture(number) for number in range(6)]
    people = scorer.score(pictures)["score"].to_numpy() ** 3
    found = proof.compare(scorer, scorer, Examples([*pictures, b"torn"], "drawn", np.append(people, 0)))
    assert (found.pictures, found.max_difference, found.srcc) == (6, 0, 1)
    assert found.srcc_of_file == found.srcc_of_checkpoint == 1


def test_what_cannot_be_exported_is_refused(experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text('{"members": ["a", "b"]}')
    with pytest.raises(UserError, match="is an ensemble"):
        export(tmp_path)
    with pytest.raises(UserError, match="not named as exported models are"):
        export(experiment, tmp_path / "model.pth")
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(experiment), "--format", "coreml"])
    assert stopped.value.code == 2


def test_what_is_no_exported_model_is_refused(
    exported: Exported, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged, foreign, newer = (tmp_path / name for name in ("damaged.onnx", "foreign.onnx", "newer.onnx"))
    damaged.write_bytes(exported.file.read_bytes()[:-5000])
    graph = onnx.load(exported.file)
    graph.metadata_props[0].value = json.dumps({"format": 99})
    assert graph.metadata_props[0].key == METADATA
    onnx.save(graph, newer)
    del graph.metadata_props[:]
    onnx.save(graph, foreign)
    expected = {
        damaged: "cannot be read",
        foreign: "is no model of this project",
        newer: "was written by another version",
        tmp_path / "none.onnx": "does not exist",
    }
    for file, reason in expected.items():
        with pytest.raises(SystemExit) as stopped:
            main(["score", "--model", str(file), "--input", str(photos)])
        said = capfd.readouterr().err
        assert stopped.value.code == 2
        assert reason in said
        assert "Traceback" not in said


def test_without_the_packages_of_the_extra_it_says_which(
    exported: Exported, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for ask in (lambda: iqa.load(exported.file), lambda: export(experiment)):
        with pytest.raises(UserError) as refused:
            ask()
        assert 'pip install "iqa[onnx]"' in str(refused.value)
