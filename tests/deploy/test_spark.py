"""`iqa score --engine spark`: what one process says, as parquet, and a plain word where Spark cannot run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_model import picture, write_experiment

from iqa.commands import score
from iqa.commands.cli import run_command
from iqa.deploy.spark import _reason, check_installed
from iqa.errors import UserError
from iqa.scoring import SCORES, load_scorer

pytestmark = pytest.mark.usefixtures("one_thread")

try:
    check_installed()
    LACKS = ""
except UserError as error:
    LACKS = str(error).partition("\n")[0]
needs_spark = pytest.mark.skipif(bool(LACKS), reason=LACKS)

CALIBRATION = {"parameters": [1.0, 0.0], "linear": True, "low": 0, "high": 100, "higher_is_better": False}
#: Runs the command in this process; gives its exit code, and what it said on stdout and on stderr.
Command = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("experiments") / "tiny", calibration=CALIBRATION)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with names that Spark takes for patterns, addresses and its own files; two broken ones, one hidden."""
    folder = tmp_path_factory.mktemp("shared") / "photos[1]"
    (folder / "a trip").mkdir(parents=True)
    for number, name in enumerate(("_MG_1.PNG", "a trip/ü+1.png", "a trip/50%20.jpeg")):
        picture(number).save(folder / name, "PNG")
    (folder / "torn.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / ".hidden.png").write_bytes(b"...")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture
def command(
    tmp_path: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[object, str, str]:
        code: object = 0
        try:
            run_command(score.main, ["--model", str(experiment), *map(str, arguments)])
        except SystemExit as left:
            code = left.code
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


ON_SPARK = ("--engine", "spark", "--master", "local[2]", "--output", "out[1]")


def table_of(output: Path) -> pd.DataFrame:
    return pd.read_parquet(output / "scores.parquet").set_index("image").sort_index()


@needs_spark
def test_a_folder_is_scored_as_by_one_process(command: Command, experiment: Path, photos: Path, tmp_path: Path) -> None:
    code, said, told = command(*ON_SPARK, "--input", photos)
    assert code == 0, told
    assert "3 pictures scored, 2 unreadable" in said
    assert "unreadable, 1 picture: an empty file" in said
    table = table_of(tmp_path / "out[1]")
    assert list(table.columns) == [*SCORES, "error"]
    names = ["_MG_1.PNG", "a trip/50%20.jpeg", "a trip/ü+1.png", "empty.png", "torn.jpg"]
    assert sorted(table.index) == sorted(names)
    direct = load_scorer(experiment, "cpu").score([photos / name for name in names], on_error="row")
    table = table.loc[names]
    assert [None if pd.isna(each) else each for each in table["error"]] == list(direct["error"])
    for column in SCORES:
        np.testing.assert_allclose(table[column].astype(float), direct[column].astype(float), atol=1e-4, err_msg=column)

    code, _, told = command(*ON_SPARK, "--input", photos)
    assert code == 2
    assert "scores.parquet is there already" in told


@needs_spark
def test_a_table_names_pictures_of_its_root_alone(command: Command, photos: Path, tmp_path: Path) -> None:
    picture(5).save(tmp_path / "outside.png")
    names = ["_MG_1.PNG", "./a trip/ü+1.png", "_MG_1.PNG", "gone.png", "../outside.png", str(photos / "torn.jpg")]
    pd.DataFrame({"file": names, "other": range(6)}).to_csv(tmp_path / "list.csv", index=False)
    code, said, told = command(*ON_SPARK, "--input", tmp_path / "list.csv", "--root", photos)
    assert code == 0, told
    assert "3 pictures scored, 3 unreadable" in said
    table = table_of(tmp_path / "out[1]")
    assert sorted(table.index) == sorted(names)
    assert table.loc["gone.png", "error"] == table.loc["../outside.png", "error"] == "missing"
    assert table.loc["_MG_1.PNG", "score"].nunique() == 1


@needs_spark
def test_what_spark_cannot_do_is_one_message(command: Command, photos: Path) -> None:
    for arguments, reason in [
        (("--input", "nowhere"), "the input nowhere does not exist"),
        (("--input", photos / "a trip", "--column", "x"), "--column and --root are for tables"),
        (("--input", "s3a://bucket/photos"), "--spark.jars.packages org.apache.hadoop:hadoop-aws"),
        (("--input", photos, "--master", "nonsense"), "Spark does not start"),
    ]:
        code, _, told = command(*ON_SPARK, *arguments)
        assert (code, reason in told, "Traceback" in told) == (2, True, False), told


def test_without_java_or_pyspark_nothing_begins(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not LACKS:
        for home in (None, str(tmp_path)):
            monkeypatch.setenv("PATH", str(tmp_path))
            monkeypatch.delenv("JAVA_HOME", raising=False)
            if home:
                monkeypatch.setenv("JAVA_HOME", home)
            code, _, told = command(*ON_SPARK, "--input", photos)
            assert (code, "needs Java" in told, "default-jre-headless" in told) == (2, True, True)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    code, _, told = command(*ON_SPARK, "--input", photos)
    assert code == 2
    assert 'pip install "iqa[spark]"' in told
    assert not (tmp_path / "out[1]").exists()


def test_each_engine_has_options_of_its_own(command: Command, photos: Path) -> None:
    for arguments, reason in [
        (("--engine", "spark", "--coverage", "0.8"), "--engine spark has no --coverage"),
        (("--master", "local[2]"), "--engine local has no --master"),
        (("--engine", "spark", "--tracking.enabled", "false", "--output", "x"), "those of Spark"),
        (("--engine", "spark"), "--output FOLDER"),
    ]:
        code, _, told = command("--input", photos, *arguments)
        assert (code, reason in told) == (2, True), told


def test_of_a_long_report_the_cause_is_told() -> None:
    report = "An error occurred while calling o1.parquet.\n: org.apache.spark.SparkException: Job aborted\n\tat x(Z)\n"
    assert _reason(Exception(report)) == "org.apache.spark.SparkException: Job aborted"
    report += "Traceback (most recent call last):\n  File 'x'\nValueError: no model\n\tat y(Z)\n"
    assert _reason(Exception(report)) == "ValueError: no model"
    assert _reason(Exception("nothing known")) == "nothing known"
