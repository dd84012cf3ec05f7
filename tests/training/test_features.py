"""Features of a frozen backbone are written as they come, and a kill costs little of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import draw
from places import ROOT

from iqa.config.data import DataConfig
from iqa.data.prepared import PixelStore, prepare
from iqa.errors import IqaError
from iqa.model.backbone.backbone import Backbone
from iqa.training.frozen import table
from iqa.training.frozen.features import cached_features
from iqa.training.frozen.table import Features, Writer, drawn, open_features

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for number in range(6):
        draw(root / f"{number}.png", number)
    return root


@pytest.fixture
def data(pictures: Path, tmp_path: Path) -> DataConfig:
    return DataConfig(
        dataset="folder", root=str(pictures), cache_dir=str(tmp_path), picture_size=40, image_size=40, batch_size=4,
        train_samples=24, val_samples=8, test_samples=8,
    )  # fmt: skip


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("test_resnet", pretrained=False, image_size=40).eval().requires_grad_(False)


def compute(store: PixelStore, backbone: Backbone, data: DataConfig) -> torch.Tensor:
    found = cached_features(store, backbone, data, CPU, torch.float32, progress=False)
    return found.rows(torch.arange(len(found)))


def test_they_are_what_the_backbone_says_but_for_half_precision(data: DataConfig, backbone: Backbone) -> None:
    store = prepare(data)
    with torch.inference_mode():
        expected = backbone(store.images)
    torch.testing.assert_close(compute(store, backbone, data), expected, rtol=2e-3, atol=2e-3)


def test_stopped_on_the_way_they_go_on_where_they_were(
    data: DataConfig, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepare(data)
    whole = compute(store, backbone, data.model_copy(update={"cache_dir": str(tmp_path / "other")}))
    monkeypatch.setattr(table, "SAVE_EVERY", -1.0)
    add, seen = Writer.add, []

    def stopped(writer: Writer, rows: torch.Tensor) -> None:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(len(rows))
        add(writer, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "add", stopped)
        with pytest.raises(KeyboardInterrupt):
            compute(store, backbone, data)
    assert not list(tmp_path.glob("features-*"))
    looked_at: list[int] = []
    monkeypatch.setattr(Writer, "add", lambda writer, rows: looked_at.append(len(rows)) or add(writer, rows))
    assert torch.equal(compute(store, backbone, data), whole)
    assert sum(looked_at) == len(store.images) - sum(seen)
    assert not list(tmp_path.glob(".features-*.part"))


SCRIPT = """
import sys, time, torch
from iqa.training.frozen import table
table.SAVE_EVERY = 0.0
writer = table.Writer(__import__("pathlib").Path(sys.argv[1]), 1000, 3)
while True:
    writer.add(torch.full((1, 3), float(writer._written)))
    time.sleep(0.002)
"""


def test_what_was_saved_outlives_a_kill(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / table.DONE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = Writer(tmp_path, 1000, 3)
    assert 0 < again.done < 1000
    rows = Features([open_features(tmp_path, 1000, 3)]).rows(torch.arange(again.done))
    assert torch.equal(rows[:, 0], torch.arange(again.done).float())


def test_what_another_shape_left_behind_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SAVE_EVERY", -1.0)
    Writer(tmp_path, 10, 3).add(torch.ones(4, 3))
    assert Writer(tmp_path, 10, 3).done == 4
    assert Writer(tmp_path, 10, 4).done == 0


def test_what_half_precision_cannot_hold_stays_a_number(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1, 2)
    writer.add(torch.tensor([[1e9, -1e9]]))
    writer.finish()
    assert Features([open_features(tmp_path, 1, 2)]).rows(torch.tensor([0])).abs().max() == np.finfo(np.float16).max


def test_parts_stand_side_by_side_and_are_read_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.arange(10.0).view(5, 2), -torch.arange(5.0)[:, None]
    both = Features([left, right])
    expected = torch.cat([left, right], dim=1)
    assert both.shape == (5, 3)
    assert torch.equal(both.rows(torch.tensor([3, 0])), expected[[3, 0]])
    monkeypatch.setattr(table, "CHUNK", 6)
    assert [len(part) for part in both.in_turn()] == [2, 2, 1]
    assert torch.equal(torch.cat(list(both.in_turn())), expected)
    assert torch.equal(torch.cat(list(both.in_turn(torch.tensor([4, 1, 1])))), expected[[4, 1, 1]])


def test_of_many_rows_the_same_few_are_drawn() -> None:
    rows = torch.arange(100, 200)
    assert torch.equal(drawn(rows, 100), rows)
    few = drawn(rows, 10)
    assert torch.equal(few, drawn(rows, 10))
    assert len(few.unique()) == 10
    assert bool(torch.isin(few, rows).all())


def test_a_full_disk_is_said(data: DataConfig, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare(data)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table, "reserve", full)
    with pytest.raises(IqaError, match="IQA_CACHE"):
        compute(store, backbone, data)
