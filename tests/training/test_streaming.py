"""Whether pixels are kept or decoded anew, the same model comes of it, and what need not be kept takes no room."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_model import picture

from iqa.data.expected import expect
from iqa.data.store.squares import PIXELS
from iqa.errors import UserError
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint
from iqa.training.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")
COUNT = 60


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of several shapes with scores that follow their noise."""
    root = tmp_path_factory.mktemp("scored")
    (root / "pictures").mkdir()
    for number in range(COUNT):
        picture(number, 60 + 20 * (number % 4), 60).save(root / "pictures" / f"{number}.png")
    names = [f"{number}.png" for number in range(COUNT)]
    scores = [5 - number % 9 / 3 + number / 1000 for number in range(COUNT)]
    pd.DataFrame({"image": names, "mos": scores}).to_csv(root / "scores.csv", index=False)
    return root


@pytest.fixture
def settings(scored: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "data.dataset": "csv", "data.root": scored, "data.csv": "scores.csv", "data.image_root": "pictures",
        "data.groups": "none", "data.cache_dir": tmp_path / "cache", "data.train_samples": "null",
        "data.val_samples": "null", "data.test_samples": "null", "data.batch_size": 16, "training.epochs": 2,
    }  # fmt: skip


def trained(config: Any, folder: Path) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """What each epoch came to, but for its time, and the best weights."""
    session = Session(config, ExperimentFolder(folder), progress=False)
    with session.claimed():
        epochs = [asdict(record) for record in session.run()]
    told = [{name: value for name, value in each.items() if "loss" in name or "srcc" in name} for each in epochs]
    return told, load_checkpoint(ExperimentFolder(folder).best)["model"]


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_one_model_comes_of_both(tiny: Any, settings: dict[str, Any], tmp_path: Path, frozen: bool) -> None:
    found = {}
    for store in ("stream", "cache"):
        apart = {"data.cache_dir": tmp_path / store, "data.store": store, "model.freeze_backbone": frozen}
        found[store] = trained(tiny(**settings | apart), tmp_path / f"experiment-{store}")
        assert bool(list((tmp_path / store).glob(f"*/{PIXELS}"))) == (store == "cache")
    (history, streamed), (again, kept) = found.values()
    assert len(history) == 2
    assert history == again
    assert all(torch.equal(streamed[name], kept[name]) for name in kept)


def test_a_frozen_backbone_keeps_no_pixels_and_a_trained_one_finds_its_own(tiny: Any, settings: dict[str, Any]) -> None:
    frozen = tiny(**settings | {"model.freeze_backbone": True})
    assert expect(frozen.data, once=True).missing == 0
    assert expect(frozen.data).missing == 3 * 48**2 * expect(frozen.data).squares


def test_where_pixels_have_no_room_they_are_decoded(
    tiny: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny(**settings).data
    assert expect(data).kept
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**6}))
    assert not expect(data).kept


def test_pictures_that_are_made_are_kept(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"data\.store: got 'stream' with data\.dataset 'photos'"):
        tiny(**{"data.store": "stream"})
    assert tiny(**{"data.store": "cache"}).data.store == "cache"
