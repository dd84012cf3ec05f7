"""Scored pictures are decoded once, whatever their split, and what cannot be decoded is known by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import draw
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.prepared import prepare
from iqa.data.store import squares as squares_module
from iqa.data.store.squares import open_squares
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError


@pytest.fixture
def scored(tmp_path: Path) -> DataConfig:
    """Twenty pictures, each third of them wide, with scores on 1..5."""
    lines = ["image,mos"]
    for number in range(20):
        draw(tmp_path / "set" / f"{number}.png", number)
        if number % 3 == 0:
            path = tmp_path / "set" / f"{number}.png"
            Image.open(path).convert("RGB").resize((120, 40)).save(path)
        lines.append(f"{number}.png,{1 + number / 5}")
    (tmp_path / "set" / "scores.csv").write_text("\n".join(lines))
    return DataConfig(
        dataset="csv",
        csv=str(tmp_path / "set" / "scores.csv"),
        score_range=(1, 5),
        picture_size=40,
        crops=3,
        cache_dir=str(tmp_path / "cache"),
    )


def test_a_store_of_scored_pictures_holds_each_pictures_squares(scored: DataConfig, tmp_path: Path) -> None:
    store = prepare(scored)
    assert store.score_name == "MOS"
    counts = (store.starts[1:] - store.starts[:-1]).tolist()
    for row, count in zip(store.manifest.itertuples(), counts, strict=True):
        with Image.open(tmp_path / "set" / row.image) as picture:
            expected = ViewPolicy(40, "short_side", 3).cut(picture.convert("RGB"))
        assert count == len(expected)
        start = int(store.starts[row.Index])
        np.testing.assert_array_equal(store.images[start : start + count].permute(0, 2, 3, 1), expected)
        assert row.score == pytest.approx(int(row.image.split(".")[0]) / 20, abs=1e-6)
    assert set(counts) == {2, 3}


def test_squares_know_whose_they_are(scored: DataConfig) -> None:
    store = prepare(scored)
    some = torch.tensor([5, 0, 11])
    rows, owner = store.squares(some)
    expected = [
        (row, place)
        for place, picture in enumerate(some.tolist())
        for row in range(int(store.starts[picture]), int(store.starts[picture + 1]))
    ]
    assert list(zip(rows.tolist(), owner.tolist(), strict=True)) == expected


def test_another_split_or_score_decodes_nothing_again(scored: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(scored)
    monkeypatch.setattr(squares_module, "_decoded", None)
    second = prepare(scored.model_copy(update={"split_seed": 1}))
    assert second.squares_digest == first.squares_digest
    assert second.digest != first.digest
    assert not first.manifest["split"].equals(second.manifest["split"])


def test_an_unreadable_picture_fails_by_name_or_is_left_out(scored: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "set" / "7.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"(?s)unreadable.*7\.png.*on_error"):
        prepare(scored)
    store = prepare(scored.model_copy(update={"on_error": "skip"}))
    assert "7.png" not in set(store.manifest["image"])
    assert len(store.starts) == len(store) + 1 == 20
    reason = "no picture of a known format, or damaged at its start"
    assert store.report["faults"]["unreadable"] == {"count": 1, "first": [f"7.png ({reason})"]}
    whole = prepare(scored.model_copy(update={"on_error": "skip", "split_seed": 3}))
    last = whole.manifest.index[-1]
    start = int(whole.starts[last])
    with Image.open(tmp_path / "set" / whole.manifest["image"].iloc[-1]) as picture:
        expected = ViewPolicy(40, "short_side", 3).cut(picture.convert("RGB"))
    np.testing.assert_array_equal(whole.images[start].permute(1, 2, 0), expected[0])


def test_nothing_readable_is_still_an_answer(tmp_path: Path) -> None:
    def unreadable(name: str) -> Image.Image:
        raise ValueError("broken")

    found = open_squares(tmp_path, "none", "x", ["a", "b"], unreadable, ViewPolicy(32))
    assert found.unreadable == {"a": "broken", "b": "broken"}
    assert len(found.images) == 0
