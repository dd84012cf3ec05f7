"""What damaged input has brought down once, each in its smallest form: now it is refused, or does no harm."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from hostile.kinds import pickle_inside, with_pickle
from hostile.workshop import Workshop
from iqa.config.reading import MOST_NESTED, load_config, override_config, read_config
from iqa.data.scored.tables import open_table
from iqa.data.store.intact import RECORD, verify
from iqa.deploy.card import write_card
from iqa.errors import UserError
from iqa.evaluation.comparison import compare_tested
from iqa.evaluation.tested import read_contender
from iqa.files import read_json
from iqa.metrics import LogisticFit
from iqa.model.backbone.weights import load_pretrained
from iqa.scoring import SCORES, load_scorer
from iqa.scoring.inputs import find_inputs
from iqa.scoring.journal import Journal
from iqa.scoring.results import finished
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint
from iqa.training.session import Session

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DEEP, "not valid JSON"),
        ('{"data": ' + "[" * 60 + "]" * 60 + "}", f"more than {MOST_NESTED} deep"),
        ('{"experiment_name": "a", "loss_weights": {"quality_loss": "much"}}', "training.loss.correlation"),
        ('{"experiment_name": "a", "loss_weights": {"quality_loss": 1' + "0" * 400 + "}}", "training.loss.correlation"),
        ('{"experiment_name": "' + "a" * 2**22 + '"}', "too long"),
    ],
    ids=["endless", "deep", "text for a weight", "huge weight", "long"],
)
def test_a_config(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=says):
        load_config(tmp_path / "c.json")


@pytest.mark.parametrize("value", [DEEP, "[" * 300 + "]" * 300])
def test_an_override(value: str) -> None:
    with pytest.raises(UserError, match=r"training\.epochs"):
        override_config(read_config({"experiment_name": "a"}), [f"--training.epochs={value}"])


@pytest.mark.parametrize("text", [DEEP, "[{}, {}]", '{"a": []}'])
def test_a_table_in_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UserError, match=r"cannot be read as JSON|has no rows"):
        open_table(tmp_path / "t.json")


def test_a_table_of_half_a_sign(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(r'[{"image": "a.png", "scene": "\ud800"}]')
    with pytest.raises(UserError, match="cannot be read as JSON"):
        open_table(tmp_path / "t.json")
    (tmp_path / "t.json").write_text(r'[{"image": "a.png", "scene": "\ud83d\ude00"}]')
    assert open_table(tmp_path / "t.json").frame["scene"][0] == "\U0001f600"


def test_a_table_of_rows_without_columns(tmp_path: Path) -> None:
    pd.DataFrame(index=range(3)).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError):
        open_table(tmp_path / "t.parquet")


def test_json_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(DEEP)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / RECORD).write_text(DEEP)
    assert verify(tmp_path) is None


@pytest.fixture
def tested(workshop: Workshop, tmp_path: Path) -> Path:
    """A trained and tested experiment, for one test to damage."""
    return Path(shutil.copytree(workshop.trained, tmp_path / "tiny"))


def without(key: str) -> Callable[[Any], Any]:
    return lambda tree: {name: value for name, value in tree.items() if name != key}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("training_history.json", lambda tree: tree["epochs"]),
        ("training_history.json", lambda tree: tree | {"epochs": [{"epoch": 1, "val_srcc": 0.5}]}),
        (
            "training_history.json",
            lambda tree: tree | {"best_epoch": 1, "epochs": [tree["epochs"][0] | {"seconds": "x"}]},
        ),
        ("visualizations/test_results.json", without("metrics")),
        ("visualizations/test_results.json", without("caveat")),
        ("visualizations/test_results.json", lambda tree: 0.5),
        (
            "visualizations/test_results.json",
            lambda tree: tree | {"metrics": tree["metrics"] | {"srcc": {"value": "x"}}},
        ),
    ],
    ids=["list", "no seconds", "text", "no metrics", "no caveat", "number", "text for a figure"],
)
def test_records_of_an_experiment(name: str, change: Callable[[Any], Any], tested: Path) -> None:
    (tested / name).write_text(json.dumps(change(read_json(tested / name))))
    with pytest.raises(UserError, match=Path(name).name):
        read_contender(ExperimentFolder(tested))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.csv", b"\x93\xff\n"),
        ("manifest.csv", b"image,split\na,test\nb,train,c,d\n"),
        ("manifest.csv", b"image,split\na,test\n"),
        ("visualizations/test_predictions.csv", b"\xf8\xff\n"),
        ("visualizations/test_predictions.csv", b"picture\na\n"),
        ("visualizations/test_predictions.csv", b"image,content,score,predicted\na,b,0.5,0.1\x172\n"),
    ],
    ids=["bytes", "ragged", "columns", "bytes of predictions", "columns of predictions", "no number"],
)
def test_tables_of_an_experiment(name: str, content: bytes, tested: Path) -> None:
    (tested / name).write_bytes(content)
    with pytest.raises(UserError, match=Path(name).name):
        read_contender(ExperimentFolder(tested))


def test_predictions_of_pictures_called_by_numbers(tested: Path, workshop: Workshop) -> None:
    good, file = read_contender(ExperimentFolder(workshop.trained)), tested / "visualizations" / "test_predictions.csv"
    table = pd.read_csv(file)
    table.assign(image=range(len(table))).to_csv(file, index=False)
    with pytest.raises(UserError, match="different pictures"):
        compare_tested([good, read_contender(ExperimentFolder(tested))])


def test_a_manifest_without_test_pictures(tested: Path) -> None:
    whole = (tested / "manifest.csv").read_text()
    (tested / "manifest.csv").write_text(whole.replace(",test,", ",train,"))
    with pytest.raises(UserError, match=r"manifest\.csv"):
        read_contender(ExperimentFolder(tested))


@pytest.mark.parametrize("key", ["n", "bootstrap", "metrics"])
def test_a_card_of_damaged_results(key: str, tested: Path) -> None:
    file = tested / "visualizations" / "test_results.json"
    file.write_text(json.dumps(without(key)(read_json(file))))
    before = (tested / "README.md").read_bytes()
    with pytest.raises(UserError, match="damaged"):
        write_card(tested)
    assert (tested / "README.md").read_bytes() == before


def test_a_row_of_a_journal_that_is_none_is_scored_again(workshop: Workshop, tmp_path: Path) -> None:
    inputs = find_inputs(str(workshop.pictures / "0.png"))

    def open_journal() -> Journal:
        return Journal(tmp_path / "scores", model="0", coverage=0.9, inputs=inputs)

    with open_journal():
        pass
    odd: list[Any] = [3, {}, {"image": "0.png"}, {"image": ["0.png"], "stamp": "1"}]
    odd += [dict.fromkeys(SCORES, 0.5) | {"image": "0.png", "stamp": "1", "cluster": cluster} for cluster in (0.5, "x")]
    with (tmp_path / "scores" / "scores.journal.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in odd) + DEEP + "\n")
    with open_journal() as journal:
        assert journal.pending(inputs) == ["0.png"]
        assert journal.table(inputs)["score"].isna().all()


def test_a_summary_whose_figures_are_no_names(workshop: Workshop, tmp_path: Path) -> None:
    inputs = find_inputs(str(workshop.pictures / "0.png"))
    (tmp_path / "scores.csv").write_text("image\n")
    for figures in ([[1]], 3, None):
        (tmp_path / "summary.json").write_text(json.dumps({"inputs": inputs.digest, "figures": figures}))
        assert finished(tmp_path, inputs, "csv") is None


@pytest.fixture(scope="module")
def content(workshop: Workshop) -> dict[str, Any]:
    """What a checkpoint holds."""
    return dict(torch.load(workshop.trained / "best_model.pth", weights_only=True))


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "layout is a tensor": lambda all: all | {"format": torch.zeros(0)},
    "no config": without("config"),
    "no model": without("model"),
    "model is a list": lambda all: all | {"model": [1]},
    "image size is text": lambda all: all | {"image_size": {"a": 1}},
    "views of another kind": lambda all: all | {"views": {"0.0": 1}},
    "views is a tensor": lambda all: all | {"views": torch.ones(2)},
    "endless squares": lambda all: all | {"views": {"side": 10**9, "resize": "short_side", "crops": 4}},
    "three parameters": lambda all: all | {"calibration": all["calibration"] | {"parameters": [1.0, 2.0, 3.0]}},
    "no scale": lambda all: all | {"calibration": without("low")(all["calibration"])},
    "no parameters": lambda all: all | {"calibration": without("parameters")(all["calibration"])},
    "intervals are a number": lambda all: all | {"intervals": 0.5},
    "typicality is a number": lambda all: all | {"typicality": 0.5},
    "wide": lambda all: all | {"config": all["config"] | {"model": all["config"]["model"] | {"feature_dim": 10**10}}},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_parts_of_a_checkpoint(name: str, content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(DAMAGES[name](content), tmp_path / "c.pth")
    with pytest.raises(UserError, match=r"c\.pth"):
        load_scorer(tmp_path / "c.pth")


@pytest.mark.parametrize("pickled", [b"", b"0.", b"\x80\x02u.", b"\x80\x02(l.", b"\x80\x02K\x01a."])
def test_a_pickle_that_takes_more_than_there_is(pickled: bytes, workshop: Workshop, tmp_path: Path) -> None:
    valid = (workshop.trained / "best_model.pth").read_bytes()
    assert pickle_inside(valid)
    (tmp_path / "c.pth").write_bytes(with_pickle(valid, pickled))
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pth")
    with pytest.raises(UserError, match="cannot read"):
        load_pretrained(torch.nn.Linear(1, 1), "test_resnet", str(tmp_path / "c.pth"))


def test_a_mapping_has_as_many_parameters_as_it_needs() -> None:
    with pytest.raises(ValueError, match="3 parameters"):
        LogisticFit.from_dict({"parameters": [1, 2, 3], "linear": True})


RESUMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other figures": lambda all: all | {"history": [{"epoch": 1}]},
    "no source of weights": without("weights"),
    "no pictures": without("data"),
    "no state of the optimiser": lambda all: all | {"optimizer": {"state": {0: {}}, "param_groups": []}},
    "config is a list": lambda all: all | {"config": [1]},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_training_that_goes_on(name: str, tested: Path) -> None:
    folder = ExperimentFolder(tested)
    torch.save(RESUMED[name](torch.load(io.BytesIO(folder.last.read_bytes()), weights_only=True)), folder.last)
    before = {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"last_model\.pth"):
        Session(folder.read_config(), folder, resume=True, progress=False)
    assert {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()} == before
