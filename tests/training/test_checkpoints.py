"""Checkpoints are data: whole, checked, and never code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from iqa.errors import UserError
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint, load_model_state, save_checkpoint


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("boom",)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", {"model": {"w": torch.arange(3)}, "history": [{"epoch": 1, "x": None}]})
    content = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(content["model"]["w"], torch.arange(3))
    assert content["history"] == [{"epoch": 1, "x": None}]


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"format": 1, "model": Bomb()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "a.pth")
    assert "boom" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a zip", b"x" * 1000])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(damage)
    with pytest.raises(UserError, match=r"a\.pth"):
        load_checkpoint(tmp_path / "a.pth")


def test_somebody_elses_weights_are_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        load_checkpoint(tmp_path / "resnet.pth")


def test_a_missing_checkpoint_lists_those_that_are_there(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best_model.pth", {})
    with pytest.raises(UserError, match=r"one of best_model\.pth"):
        load_checkpoint(tmp_path / "beste_model.pth")


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another model"):
        load_model_state(nn.Linear(2, 2), nn.Linear(3, 2).state_dict(), tmp_path / "a.pth")


def test_earlier_experiments_are_numbered(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "a")
    for name in ("a", "a.1", "a.2"):
        with folder.claimed():
            assert not folder.path.exists()
            folder.path.mkdir()
            (folder.path / "config.json").write_text(name)
    assert {path.name: (path / "config.json").read_text() for path in tmp_path.iterdir()} == {
        "a": "a.2",
        "a.1": "a",
        "a.2": "a.1",
    }


def fail_after_writing(folder: ExperimentFolder, file: Path, fault: BaseException) -> None:
    with folder.claimed():
        folder.path.mkdir()
        file.write_text("new")
        raise fault


@pytest.mark.parametrize("fault", [UserError("refused"), KeyboardInterrupt()])
def test_what_fails_before_anything_is_saved_leaves_the_folder_as_it_was(tmp_path: Path, fault: BaseException) -> None:
    folder = ExperimentFolder(tmp_path / "a")
    folder.path.mkdir()
    (folder.path / "config.json").write_text("precious")
    with pytest.raises(type(fault)):
        fail_after_writing(folder, folder.config_file, fault)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert folder.config_file.read_text() == "precious"


def test_what_fails_later_keeps_both(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "a")
    folder.path.mkdir()
    folder.last.write_text("precious")
    with pytest.raises(UserError):
        fail_after_writing(folder, folder.last, UserError("late"))
    assert (folder.last.read_text(), (tmp_path / "a.1" / "last_model.pth").read_text()) == ("new", "precious")


def test_a_folder_without_an_experiment_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "quick_test").mkdir()
    (tmp_path / "quick_test" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="quick_test"):
        ExperimentFolder(tmp_path / "quack_test").read_config()
