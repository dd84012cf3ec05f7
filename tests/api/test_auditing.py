"""`iqa.audit` as a notebook and a command call it: findings in hand, files beside, and a run of MLflow for each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from servers import free_port
from tiny_model import picture

import iqa
from iqa.commands.main import main
from iqa.config.data import DataConfig
from iqa.data.scored.load import load_scored
from iqa.errors import IqaError, UserError
from iqa.plots.audit import audited

FILES = {"audit.json", "groups.csv", "audit.html", "audit.png"}


@pytest.fixture
def rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 pictures with scores, two of them the same file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rated"
    folder.mkdir()
    for number in range(30):
        picture(number).save(folder / f"{number}.png")
    shutil.copy(folder / "0.png", folder / "1.png")
    scores = {"image": [f"{number}.png" for number in range(30)], "mos": np.linspace(1.2, 4.7, 30)}
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    return folder


def runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return list(client.search_runs(["0", "1"], "tags.role = 'audit'"))


def test_findings_come_with_files_that_other_calls_take(rated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = iqa.audit(rated)
    assert capsys.readouterr().out == ""
    assert "same_bytes" in {finding.kind for finding in done.findings}
    assert ("groups", "29") in done.figures()
    assert {path.name for path in done.folder.iterdir()} == FILES | {"mlflow.json"}
    settings = {"dataset": "csv", "csv": str(rated / "scores.csv"), "groups": str(done.groups)}
    content = load_scored(DataConfig(**settings), judged_whole=True).manifest.set_index("image")["content"]
    assert content["0.png"] == content["1.png"]
    assert content.nunique() == 29


def test_each_audit_is_a_run_with_its_figures_its_files_and_its_findings(rated: Path) -> None:
    first = iqa.audit(rated)
    table = pd.read_csv(rated / "scores.csv")
    table.drop(1).to_csv(rated / "scores.csv", index=False)
    second = iqa.audit(rated)
    later, earlier = runs(rated.parent)
    assert [run.info.status for run in (earlier, later)] == ["FINISHED", "FINISHED"]
    for run, done in ((earlier, first), (later, second)):
        assert run.data.metrics["audit/findings"] == len(done.findings)
        assert run.data.metrics["audit/copies"] == done.audit.sections["copies"]["together"]
        told = run.data.tags["mlflow.note.content"].replace("\\", "")
        assert all(str(finding) in told for finding in done.findings)
        assert run.data.params["data.csv"] == "scores.csv"
        assert "backbone" not in run.data.tags, "no model takes part"
        (seen,) = run.inputs.dataset_inputs
        assert seen.dataset.name == "rated"
        client = MlflowClient(f"sqlite:///{rated.parent / 'mlflow.db'}")
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= FILES - {"audit.png"}
    assert earlier.data.metrics["audit/copies"] - later.data.metrics["audit/copies"] == 2


def test_a_name_is_a_name_in_the_description(rated: Path) -> None:
    name = "*[0](x)_<b>.png"
    shutil.copy(rated / "0.png", rated / name)
    table = pd.read_csv(rated / "scores.csv")
    table.assign(image=table["image"].replace("1.png", name)).to_csv(rated / "scores.csv", index=False)
    iqa.audit(rated)
    (run,) = runs(rated.parent)
    assert r"\*\[0\](x)\_\<b\>.png" in run.data.tags["mlflow.note.content"]


def test_under_the_launcher_it_is_the_launchers_run(rated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iqa.audit(rated)
    client = MlflowClient(f"sqlite:///{rated.parent / 'mlflow.db'}")
    launched = client.create_run("1", run_name="bold-crab-123").info.run_id
    client.log_param(launched, "data", "rated")
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    main(["audit", "--data", "rated", "--config", ""])
    run = client.get_run(launched)
    assert (run.info.status, run.data.tags["role"]) == ("FINISHED", "audit")
    assert run.data.metrics["audit/pictures"] == 30


def test_an_exit_code_of_findings_leaves_a_whole_run(rated: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "rated", "--fail_on", "copies"])
    assert ended.value.code == 1
    assert [run.info.status for run in runs(rated.parent)] == ["FINISHED"]


def test_one_that_is_stopped_is_killed_and_leaves_no_files(rated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("iqa.data.audit.auditing.audit", stop)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "rated"])
    assert ended.value.code == 130
    assert [run.info.status for run in runs(rated.parent)] == ["KILLED"]
    assert not FILES & {path.name for path in Path("audits/rated").iterdir()}


def test_a_store_that_cannot_be_used_is_told_before_a_picture_is_read(rated: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "rated", "--tracking.uri", "nonsense://x"])
    assert ended.value.code == 2
    assert "nonsense" in capsys.readouterr().err
    assert not Path("audits").exists()


def test_a_place_that_cannot_be_written_to_is_told_before_a_picture_is_read(
    rated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iqa.data.audit.auditing.audit", None)
    Path("taken").touch()
    with pytest.raises(IqaError, match="taken"):
        iqa.audit(rated, output="taken/audit")


def test_what_a_server_missed_of_it_is_sent_later(rated: Path) -> None:
    iqa.audit(rated, settings={"tracking.uri": f"http://127.0.0.1:{free_port()}"})
    main(["sync", "--uri", f"sqlite:///{rated.parent / 'mlflow.db'}"])
    (run,) = runs(rated.parent)
    assert (run.info.status, run.data.metrics["audit/pictures"]) == ("FINISHED", 30)


def test_without_tracking_only_files_are_left(rated: Path) -> None:
    done = iqa.audit(rated, settings={"tracking.enabled": False}, output="looked")
    assert done.link is None
    assert {path.name for path in Path("looked").iterdir()} == FILES
    assert not Path("mlflow.db").exists()


def test_the_data_of_an_experiment_are_audited_under_its_name(rated: Path) -> None:
    config = {"experiment_name": "mine", "data": {"dataset": "csv", "csv": str(rated / "scores.csv")}}
    done = iqa.audit(config=config, settings={"tracking.enabled": False})
    assert done.folder == Path("audits/mine")
    with pytest.raises(UserError, match="named twice"):
        iqa.audit(rated, config=config)


def test_the_figure_shows_each_split_and_suspects_where_something_tells_them(rated: Path) -> None:
    done = iqa.audit(rated, settings={"tracking.enabled": False})
    (spread,) = audited(done.audit, title="rated").axes
    counts = [text.get_text() for text in spread.get_legend().get_texts()]
    split = done.audit.sections["split"]
    assert counts == [f"{name} ({split[name]['pictures']})" for name in ("train", "val", "test")]
    assert sum(bar.get_height() for bar in spread.patches) == 30
    assert min(Image.open(done.folder / "audit.png").size) > 100
    assert json.loads((done.folder / "audit.json").read_text()) == done.audit.to_dict()
