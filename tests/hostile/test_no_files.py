"""What is named like a picture or a table and is none: pipes, devices, folders, links that lead round."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import iqa
from hostile.judging import judge
from hostile.workshop import Workshop
from iqa.commands import audit
from iqa.config.data import DataConfig
from iqa.config.reading import load_config
from iqa.data.prepared import prepare
from iqa.data.scored.load import load_scored
from iqa.data.scored.tables import open_table
from iqa.data.store.pictures import check_header, read_rgb
from iqa.errors import UserError
from iqa.files import read_json
from iqa.model.backbone.weights import load_pretrained
from iqa.scoring.inputs import find_inputs
from iqa.training.checkpoints import load_checkpoint

SECONDS = 8.0


@pytest.fixture
def strange(tmp_path: Path, workshop: Workshop) -> Path:
    """A folder with twelve pictures, and what only looks like some."""
    folder = tmp_path / "strange"
    folder.mkdir()
    for name in workshop.names:
        (folder / name).write_bytes((workshop.pictures / name).read_bytes())
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "random.jpg").symlink_to("/dev/random")
    (folder / "folder.png").mkdir()
    (folder / "a.png").symlink_to("b.png")
    (folder / "b.png").symlink_to("a.png")
    (folder / "self.png").symlink_to("self.png")
    (folder / "round").symlink_to(folder)
    (folder / "below").mkdir()
    (folder / "below" / "up").symlink_to("..")
    return folder


NO_PICTURES = {"pipe.png", "zero.png", "random.jpg", "a.png", "b.png", "self.png"}


def within_seconds(work: Callable[[], object], place: Path) -> object:
    """What the work gives, in little time and with nothing written."""
    found: list[object] = []
    outcome = judge(lambda: found.append(work()), place, limit=SECONDS)
    assert outcome.verdict != "fault", outcome
    if outcome.verdict == "refused":
        raise UserError(outcome.said)
    return found[0]


@pytest.mark.parametrize("pattern", ["", "*.png", "**"])
def test_what_only_looks_like_a_picture_has_a_row_with_its_reason(strange: Path, pattern: str) -> None:
    inputs = within_seconds(lambda: find_inputs(str(strange / pattern)), strange)
    expected = {name for name in NO_PICTURES if not pattern.endswith("png") or name.endswith("png")}
    assert set(inputs.faults) == expected  # type: ignore[attr-defined]


def test_a_folder_of_such_is_scored(strange: Path, workshop: Workshop, tmp_path: Path) -> None:
    checkpoint, _ = workshop.small_model()
    done = iqa.score(checkpoint, strange, output=tmp_path / "out", settings={"tracking.enabled": False})
    rows = done.table.set_index("image")["error"]
    assert set(rows[rows.notna()].index) == NO_PICTURES


@pytest.mark.parametrize("name", [*sorted(NO_PICTURES), "folder.png"])
def test_nothing_is_read_that_is_no_file(strange: Path, name: str) -> None:
    for read in (read_rgb, check_header):
        outcome = judge(lambda read=read: read(strange / name), strange, also=(ValueError,), limit=SECONDS)
        assert outcome.verdict == "refused", outcome


def table_of(strange: Path) -> Path:
    names = [path.name for path in strange.iterdir() if path.suffix]
    frame = pd.DataFrame({"image": names, "mos": range(len(names))})
    frame.to_csv(strange / "scores.csv", index=False)
    return strange / "scores.csv"


def test_a_table_that_names_them_gives_no_file_for_them(strange: Path) -> None:
    table = table_of(strange)
    inputs = within_seconds(lambda: find_inputs(str(table)), strange)
    assert set(inputs.faults) == {*NO_PICTURES, "folder.png"}  # type: ignore[attr-defined]
    data = {"dataset": "csv", "root": str(strange), "csv": table.name, "groups": "none"}
    with pytest.raises(UserError, match="missing"):
        within_seconds(lambda: load_scored(DataConfig(**data), judged_whole=True), strange)
    kept = within_seconds(lambda: load_scored(DataConfig(**data, on_error="skip"), judged_whole=True), strange)
    assert len(kept.manifest) == 12  # type: ignore[attr-defined]


def test_they_are_not_trained_on(strange: Path, tmp_path: Path) -> None:
    data = {"dataset": "folder", "root": str(strange), "cache_dir": str(tmp_path / "cache"), "num_workers": 0}
    data |= {"train_samples": 8, "val_samples": 4, "test_samples": 4, "picture_size": 16}
    store = within_seconds(lambda: prepare(DataConfig(**data), progress=False), strange)
    assert len(store.manifest) == 16  # type: ignore[attr-defined]


def test_they_are_audited(strange: Path, tmp_path: Path) -> None:
    table = table_of(strange)
    words = [str(table), "--data.on_error", "skip", "--output", str(tmp_path / "audit"), "--tracking.enabled", "false"]
    outcome = judge(
        lambda: audit.main([*words, "--data.cache_dir", str(tmp_path / "cache")]), strange, limit=3 * SECONDS
    )
    assert outcome.verdict == "worked", outcome


def test_a_picture_that_became_a_pipe_is_not_waited_for(strange: Path, workshop: Workshop) -> None:
    _, scorer = workshop.small_model()
    data = {"dataset": "csv", "root": str(strange), "csv": table_of(strange).name, "groups": "none", "on_error": "skip"}
    listed, found = find_inputs(str(strange)), load_scored(DataConfig(**data), judged_whole=True)
    (strange / "3.png").unlink()
    os.mkfifo(strange / "3.png")
    rows = within_seconds(
        lambda: pd.concat(scorer.score_stream((listed.path(name) for name in ["2.png", "3.png"]), on_error="row")),
        strange,
    )
    assert [error is None for error in rows["error"]] == [True, False]  # type: ignore[index]
    with pytest.raises(ValueError, match="no file"):
        found.read("3.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_picture_closed_to_us_has_a_row(strange: Path, workshop: Workshop) -> None:
    _, scorer = workshop.small_model()
    (strange / "3.png").chmod(0)
    assert scorer.score([strange / "3.png"], on_error="row")["error"].notna().all()


@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_settings_and_tables_are_not_read_from_what_has_no_end(device: str, tmp_path: Path) -> None:
    if device == "pipe":
        os.mkfifo(tmp_path / "pipe")
        device = str(tmp_path / "pipe")
    else:
        assert judge(lambda: load_config(device), tmp_path, limit=SECONDS).verdict == "refused"
    works: list[Callable[[], object]] = [
        lambda: open_table(Path(device)),
        lambda: read_json(Path(device)),
        lambda: load_checkpoint(Path(device)),
        lambda: find_inputs(device),
        lambda: load_pretrained(torch.nn.Linear(1, 1), "test_resnet", device),
    ]
    for work in works:
        outcome = judge(work, tmp_path, limit=SECONDS)
        assert outcome.verdict == "refused", outcome
