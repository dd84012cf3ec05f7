"""Scoring pictures as a user does it: what is written, how it goes on after a stop, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forked import Begun, draw_fully
from PIL import Image
from places import ROOT
from tiny_model import picture, write_experiment

from iqa.commands import score
from iqa.commands.cli import run_command
from iqa.files import read_json
from iqa.plots.scores import choose_ends, shorten
from iqa.scoring import SCORES
from iqa.scoring.inputs import JOURNAL, find_inputs

COLUMNS = ["image", *SCORES, "error", "note"]
CALIBRATION = {"parameters": [1.0, 0.0], "linear": True, "low": 0, "high": 100, "higher_is_better": False}

pytestmark = pytest.mark.usefixtures("one_thread")

#: Runs the command in this process; gives its exit code, and what it said on stdout and on stderr.
Command = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("experiments") / "tiny", calibration=CALIBRATION)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine pictures in two folders, one file that is none, one that only a user would take for one."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for number in range(9):
        picture(number).save(folder / ("trip" if number % 2 else ".") / f"{number}.png")
    (folder / "trip" / "torn.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture
def command(
    tmp_path: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, model: str | Path = experiment) -> tuple[object, str, str]:
        code: object = 0
        try:
            run_command(score.main, ["--model", str(model), *map(str, arguments), "--tracking.enabled", "false"])
        except SystemExit as left:
            code = left.code
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


def table_of(output: Path) -> pd.DataFrame:
    return pd.read_csv(output / "scores.csv", dtype={"cluster": "Int64"})


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


# What is written


def test_a_folder_becomes_a_table_figures_and_a_summary(
    command: Command, photos: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_fully(monkeypatch)
    import iqa

    code, said, _ = command("--input", "photos")
    assert code == 0
    output = Path("scores") / "tiny-photos"
    assert {"scores.csv", "summary.json", "histogram.png", "contact_sheet.png"} < {p.name for p in output.iterdir()}
    for name in ("histogram.png", "contact_sheet.png"):
        assert str(output / name) in said
        assert min(Image.open(output / name).size) >= 600

    table = table_of(output)
    assert list(table.columns) == COLUMNS
    assert list(table["image"]) == sorted([*(f"{n}.png" for n in (0, 2, 4, 6, 8)), "trip/torn.jpg",
                                           *(f"trip/{n}.png" for n in (1, 3, 5, 7))])  # fmt: skip
    assert list(table[table["error"].notna()]["image"]) == ["trip/torn.jpg"]
    assert table["error"].notna().equals(table["score"].isna())
    good = table[table["error"].isna()]
    direct = iqa.load(experiment, device="cpu").score([photos / name for name in good["image"]])
    np.testing.assert_allclose(good["score"], direct["score"], atol=2e-5)
    np.testing.assert_allclose(good["calibrated"], 100 * (1 - direct["score"].clip(0, 1)), atol=2e-3)
    assert list(good["cluster"]) == list(direct["cluster"])

    summary = read_json(output / "summary.json")
    assert (summary["pictures"], summary["scored"], summary["unreadable"]) == (10, 9, 1)
    assert summary["score"]["median"] == pytest.approx(good["score"].median())
    assert summary["images_per_second"] > 0
    assert "9 pictures scored, 1 unreadable" in said
    assert "unreadable, 1 picture: no picture of a known format" in said


def test_what_is_not_taken_is_counted_by_its_kind(command: Command, photos: Path) -> None:
    for name in ("a.psd", "b.psd", "notes", ".hidden.png"):
        (photos / name).write_bytes(b"...")
    code, said, _ = command("--input", "photos")
    assert code == 0
    assert "not taken: " in said
    left_out = read_json(Path("scores/tiny-photos/summary.json"))["left_out"]
    assert (left_out[".psd"], left_out["hidden"], left_out["no suffix"]) == (2, 1, 1)
    assert "2 .psd" in said


def test_another_folder_of_the_same_name_gets_a_place_of_its_own(command: Command, photos: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(photos, Path(name, "photos"))
        for _ in range(2):
            code, said, _ = command("--input", f"{name}/photos")
            assert code == 0
    assert "nothing is new" in said
    assert sorted(path.name for path in Path("scores").iterdir()) == ["tiny-photos", "tiny-photos-2"]
    assert read_json(Path("scores/tiny-photos-2/summary.json"))["root"] == str(Path("two/photos"))


def test_a_glob_takes_what_it_fits(command: Command, photos: Path) -> None:
    code, *_ = command("--input", "photos/**/[1-4].png", "--output", "out", "--format", "parquet")
    assert code == 0
    table = pd.read_parquet("out/scores.parquet")
    assert list(table["image"]) == ["2.png", "4.png", "trip/1.png", "trip/3.png"]
    assert (str(table["score"].dtype), str(table["cluster"].dtype)) == ("float64", "Int64")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "list"])
def test_a_table_names_its_pictures(command: Command, photos: Path, kind: str) -> None:
    names = ["trip/3.png", "0.png", "gone.png", "trip/3.png", "../secret.png"]
    picture(9).save("secret.png")
    frame = pd.DataFrame({"number": range(5), "picture": names})
    if kind == "parquet":
        frame.to_parquet("photos/list.parquet")
    elif kind == "list":
        Path("photos/list.txt").write_text("\n".join(names))
    else:
        frame.to_csv(f"photos/list.{kind}", sep="\t" if kind == "tsv" else ",", index=False)
    suffix = "txt" if kind == "list" else kind
    column = () if kind == "list" else ("--column", "picture")
    code, _, said = command("--input", f"photos/list.{suffix}", *column, "--output", "out")
    assert code == 0, said
    table = table_of(Path("out"))
    assert list(table["image"]) == names
    assert list(table["score"].isna()) == [False, False, True, False, True]
    assert table["score"][0] == table["score"][3] != table["score"][1]
    assert (table["error"][2], table["error"][4]) == ("missing", "outside the image root")


def test_a_table_elsewhere_is_read_with_its_root(command: Command, photos: Path) -> None:
    Path("tables").mkdir()
    Path("tables/mine.csv").write_text("image,mos\n0.png,3\ntrip/1.png,4\n")
    code, *_ = command("--input", "tables/mine.csv", "--root", "photos", "--output", "out")
    assert code == 0
    assert list(table_of(Path("out"))["image"]) == ["0.png", "trip/1.png"]


def test_results_among_the_pictures_are_not_scored(command: Command, photos: Path) -> None:
    for _ in range(2):
        code, *_ = command("--input", ".", "--output", "photos/results")
        assert code == 0
    assert len(table_of(Path("photos/results"))) == 10
    assert len(find_inputs("photos/*/*.png").names) == 4


def test_one_picture_is_enough(command: Command, photos: Path) -> None:
    code, said, _ = command("--input", "photos/0.png", "--output", "out")
    assert code == 0
    assert "1 picture scored" in said
    assert len(table_of(Path("out"))) == 1


# Going on


def test_a_finished_scoring_does_nothing_until_something_is_new(command: Command, photos: Path) -> None:
    settings = ("--input", "photos", "--output", "out")
    command(*settings)
    before = contents(Path("out"))
    code, said, _ = command(*settings)
    assert code == 0
    assert "nothing is new: 10 pictures" in said
    assert contents(Path("out")) == before

    # Two come, one goes, one changes; a third format is asked for.
    first = table_of(Path("out")).set_index("image")["score"]
    picture(20).save(photos / "trip" / "torn.jpg")
    picture(21).save(photos / "0.png")
    picture(22).save(photos / "new.png")
    (photos / "trip" / "1.png").unlink()
    journal = len(Path("out", JOURNAL).read_text().splitlines())
    code, said, _ = command(*settings, "--format", "parquet")
    assert code == 0
    assert len(Path("out", JOURNAL).read_text().splitlines()) == journal + 3
    second = table_of(Path("out")).set_index("image")["score"]
    assert list(second.index) == [name for name in sorted([*first.index, "new.png"]) if name != "trip/1.png"]
    assert second.notna().all()
    same = [name for name in second.index if name not in ("0.png", "new.png", "trip/torn.jpg")]
    assert second[same].equals(first[same])
    assert second["0.png"] != first["0.png"]
    assert pd.read_parquet("out/scores.parquet")["image"].tolist() == list(second.index)


def test_lost_results_are_made_again_without_scoring(command: Command, photos: Path) -> None:
    settings = ("--input", "photos", "--output", "out")
    command(*settings)
    table, journal = table_of(Path("out")), Path("out", JOURNAL).read_bytes()
    for name in ("scores.csv", "contact_sheet.png", "summary.json"):
        Path("out", name).unlink()
        assert command(*settings)[0] == 0
    assert table_of(Path("out")).equals(table)
    assert Path("out", JOURNAL).read_bytes() == journal


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 pictures; slow ones behind the middle leave time to stop there."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many").mkdir()
    for number in range(20):
        picture(number).save(folder / f"{number}.png")
    picture(30).resize((4000, 3000)).save(folder / "big.png", compress_level=1)
    for number in range(160):
        source = "big.png" if 120 <= number < 130 else f"{number % 20}.png"
        (folder / "many" / f"{number:03}.png").symlink_to(folder / source)
    return folder / "many"


@pytest.fixture(scope="module")
def uninterrupted(many: Path, experiment: Path) -> pd.DataFrame:
    import iqa

    table = iqa.load(experiment, device="cpu").score(sorted(many.iterdir()))
    return table.assign(image=[path.name for path in sorted(many.iterdir())])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_scoring_goes_on_to_the_same_table(
    tmp_path: Path, many: Path, uninterrupted: pd.DataFrame, experiment: Path, command: Command, stop: signal.Signals
) -> None:
    arguments = ["--input", str(many), "--output", "out", "--batch_size", "8"]
    script = [str(ROOT / "pipelines" / "score_images.py"), "--model", str(experiment), "--tracking.enabled", "false"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = Begun([*script, *arguments], cwd=tmp_path, env=environment)
    journal = tmp_path / "out" / JOURNAL
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < 60:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(stop)
    said = "".join(process.communicate(timeout=60))
    assert process.returncode == (-signal.SIGKILL if stop is signal.SIGKILL else 128 + stop), said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "scores.csv").exists()
    done = journal.read_bytes().count(b"\n") - 1
    assert 0 < done < 160
    if stop is signal.SIGKILL:
        with journal.open("ab") as file:
            file.write(b'{"image": "159.png", "sco')
    else:
        assert f"{done} of 160 pictures are scored" in said
        assert "continue: the same command" in said

    assert command(*arguments)[0] == 0
    assert len(journal.read_text().splitlines()) == 1 + 160  # each picture once
    resumed = table_of(tmp_path / "out")
    for column in ("image", "cluster"):
        assert list(resumed[column]) == list(uninterrupted[column])
    figures = ["score", "calibrated", "log_likelihood"]
    np.testing.assert_allclose(resumed[figures], uninterrupted[figures], rtol=1e-4, atol=2e-3)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], ["--input"]),
        (["--input", "photo"], ["photo does not exist", "did you mean 'photos'"]),
        (["--input", "photos/*.gif"], ["no pictures in photos/*.gif"]),
        (["--input", "empty"], ["no pictures in empty", ".png"]),
        (["--input", "photos/notes.doc"], ["no known kind"]),
        (["--input", "table.csv", "--column", "file"], ["no column 'file'", "name, mos", "--column"]),
        (["--input", "table.csv", "--column", "7"], ["no column '7'"]),
        (["--input", "table.csv"], ["no picture of the table", "--root"]),
        (["--input", "table.csv", "--root", "nowhere"], ["--root", "nowhere"]),
        (["--input", "photos", "--column", "file"], ["--column", "tables"]),
        (["--input", "photos", "--format", "xlsx"], ["xlsx"]),
        (["--input", "photos", "--batch_size", "0"], ["--batch_size"]),
        (["--input", "photos", "--training.epochs", "3"], ["--training.epochs"]),
        (["--input", "photos", "--device", "cuda:99"], ["cuda:99"]),
        (["--input", "photos", "--model", "nowhere"], ["nowhere does not exist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_slip_is_told_in_one_message(
    command: Command, photos: Path, arguments: list[str], message: list[str]
) -> None:
    Path("empty").mkdir()
    Path("photos/notes.doc").write_text("?")
    Path("table.csv").write_text("name,mos\na.png,3\nb.png,4\n")
    code, _, said = command(*arguments)
    assert code == 2, said
    assert "Traceback" not in said
    for words in message:
        assert words in said
    assert not Path("scores").exists()


def test_results_of_another_model_or_other_pictures_are_left_alone(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    command("--input", "photos", "--output", "out")
    before = contents(Path("out"))
    other = write_experiment(tmp_path / "other", seed=1)
    code, _, said = command("--input", "photos", "--output", "out", model=other)
    assert (code, "another model" in said) == (2, True)
    shutil.copytree(photos, "copies")
    code, _, said = command("--input", "copies", "--output", "out")
    assert (code, "another folder of pictures" in said) == (2, True)
    assert contents(Path("out")) == before


def test_files_of_someone_else_are_not_overwritten(command: Command, photos: Path) -> None:
    Path("out").mkdir()
    Path("out/scores.csv").write_text("precious")
    code, _, said = command("--input", "photos", "--output", "out")
    assert code == 2
    assert "would be overwritten" in said
    assert Path("out/scores.csv").read_text() == "precious"


def test_two_cannot_score_into_one_folder(command: Command, photos: Path) -> None:
    from filelock import FileLock

    Path("out").mkdir()
    with FileLock("out/.scores.lock"):
        code, _, said = command("--input", "photos", "--output", "out")
    assert (code, "another process" in said) == (2, True)


def test_when_no_picture_can_be_read_the_table_says_why(command: Command) -> None:
    Path("broken").mkdir()
    for name in ("a.png", "b.png"):
        Path("broken", name).write_text("no picture")
    for _ in range(2):
        code, _, said = command("--input", "broken", "--output", "out")
        assert (code, "none of 2 pictures" in said) == (1, True)
    assert table_of(Path("out"))["error"].notna().all()
    assert not Path("out/histogram.png").exists()


# In MLflow


def test_mlflow_run_logs_one_run_for_a_folder_of_results(photos: Path, experiment: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    project = tmp_path / "project"
    for name in ("iqa", "pipelines"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, project / name)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_") and key != "PYTHONPATH"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    launch = ["mlflow", "run", ".", "--env-manager", "local", "-e", "score", "-P", f"model={experiment}"]
    done = subprocess.run(
        [*launch, "-P", f"input={photos}", "-P", "tracking.system_metrics=false"],
        cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = client.search_runs(["0"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny-score-photos")
    assert (run.data.tags["role"], "mlflow.parentRunId" in run.data.tags) == ("score", False)
    assert run.data.params["model"] == str(experiment)
    assert run.data.params["batch_size"] == "32"
    assert (run.data.metrics["score/scored"], run.data.metrics["score/unreadable"]) == (9, 1)
    assert run.data.metrics["speed/images_per_second"] > 0
    logged = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert {"scores.csv", "summary.json", "histogram.png", "contact_sheet.png"} <= logged
    assert any("contact_sheet" in entry.path for entry in client.list_artifacts(run.info.run_id, "images"))
    note = json.loads((project / "scores" / "tiny-photos" / "mlflow.json").read_text())
    assert note["run_id"] == run.info.run_id


# Figures


@pytest.mark.parametrize("count", [1, 2, 5, 31, 32, 100])
def test_no_picture_is_among_the_best_and_the_worst(count: int) -> None:
    scores = np.random.default_rng(count).permutation(count) / count
    best, worst = choose_ends(scores)
    assert len(best) == min(16, count - count // 2)
    assert len(worst) == min(16, count // 2)
    assert not set(best) & set(worst)
    ranked = sorted(scores)
    assert [scores[row] for row in worst] == ranked[: len(worst)]
    assert [scores[row] for row in best] == ranked[::-1][: len(best)]


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert shorten("a/b/short.png") == "short.png"
    short = shorten("folder/" + "x" * 50 + "_01.jpeg")
    assert len(short) == 22
    assert short.startswith("xxx")
    assert short.endswith("_01.jpeg")
    assert shorten("tab\there.png") == "tab?here.png"
