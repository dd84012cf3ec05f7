"""A set whose table names no groups: what belongs together is found, and stays in one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS
from iqa.data.scored.load import ScoredSet, load_scored
from iqa.data.splits import split_by_group


def picture(seed: int) -> Image.Image:
    """A picture unlike that of any other seed."""
    shapes = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(shapes).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """20 scenes, each as it is and under a name that tells nothing, smaller and compressed; and 20 other pictures."""
    rows = []
    for number in range(40):
        picture(number).save(tmp_path / f"p{number:02}.png")
        rows.append((f"p{number:02}.png", 1 + number / 10))
        if number < 20:
            picture(number).resize((64, 64)).save(tmp_path / f"q{97 - number}.jpg", quality=60)
            rows.append((f"q{97 - number}.jpg", 0.9 + number / 10))
    pd.DataFrame(rows, columns=["image", "mos"]).to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


def load(root: Path, **settings: object) -> ScoredSet:
    return load_scored(DataConfig(dataset="csv", csv=str(root / "scores.csv"), **settings))


def crossing(manifest: pd.DataFrame) -> int:
    """Scenes whose two pictures are in two splits."""
    split = manifest.set_index("image")["split"]
    return sum(split[f"p{number:02}.png"] != split[f"q{97 - number}.jpg"] for number in range(20))


def edit(root: Path, **columns: object) -> None:
    pd.read_csv(root / "scores.csv").assign(**columns).to_csv(root / "scores.csv", index=False)


def test_variants_never_cross_a_split_that_is_drawn_and_a_line_says_so(scenes: Path, caplog) -> None:
    for seed in range(3):
        manifest = load(scenes, split_seed=seed).manifest
        assert crossing(manifest) == 0
        assert manifest["content"].nunique() == 40
    assert "40 of 60 pictures are copies or variants of another, such as p00.png and q97.jpg: split by 40 groups" in (
        caplog.text
    )


def test_without_looking_they_do_and_that_is_said(scenes: Path, caplog) -> None:
    assert crossing(load(scenes, groups="none").manifest) > 0
    assert "data.groups none: nobody looked" in caplog.text


def test_where_nothing_is_found_the_draw_is_what_it_always_was(scenes: Path, caplog) -> None:
    table = pd.read_csv(scenes / "scores.csv")
    table[table["image"].str.startswith("p")].to_csv(scenes / "scores.csv", index=False)
    manifest = load(scenes).manifest
    assert manifest["split"].tolist() == split_by_group(manifest["image"].to_numpy(), (0.7, 0.1, 0.2), 0).tolist()
    assert "variants" not in caplog.text


def test_files_that_are_the_same_stay_together_whatever_is_set(scenes: Path) -> None:
    for number in range(20):
        (scenes / f"q{97 - number}.jpg").write_bytes((scenes / f"p{number:02}.png").read_bytes())
    pd.DataFrame({"image": sorted(file.name for file in scenes.glob("[pq]*")), "group": range(60)}).to_csv(
        scenes / "groups.csv", index=False
    )
    for groups in ("auto", "none", str(scenes / "groups.csv")):
        assert [crossing(load(scenes, groups=groups, split_seed=seed).manifest) for seed in range(3)] == [0, 0, 0]


def test_a_file_of_groups_is_followed(scenes: Path, caplog) -> None:
    names = pd.read_csv(scenes / "scores.csv")["image"]
    group = [f"g{number % 12}" for number in range(60)]
    pd.DataFrame({"image": names, "group": group}).to_csv(scenes / "groups.csv", index=False)
    found = load(scenes, groups=str(scenes / "groups.csv")).manifest
    assert (found.groupby(group)["split"].nunique() == 1).all()
    assert found["content"].nunique() == 12
    assert "12 groups of " in caplog.text


def test_a_set_s_own_split_is_kept_with_a_warning(scenes: Path, caplog) -> None:
    split = ["train", "test", "val"] * 20
    edit(scenes, split=split)
    assert load(scenes).manifest["split"].tolist() == split
    assert "13 of 20 TEST PICTURES HAVE A TWIN in training or validation" in caplog.text


def test_a_set_s_own_groups_are_taken_as_they_are(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(scenes, scene=[f"s{row // 3}" for row in range(60)])
    monkeypatch.setattr("iqa.data.scored.load.open_links", lambda *_, **__: pytest.fail("looked"))
    assert load(scenes).manifest["content"].nunique() == 20


def test_one_scene_alone_is_split_by_picture_and_that_is_said(tmp_path: Path, caplog) -> None:
    for number in range(40):
        picture(0).point(lambda value, number=number: int(value * (1 - number / 100))).save(tmp_path / f"{number}.png")
    table = pd.DataFrame({"image": [f"{number}.png" for number in range(40)], "mos": np.linspace(1, 5, 40)})
    table.to_csv(tmp_path / "scores.csv", index=False)
    assert set(load(tmp_path).manifest["split"]) == set(SPLITS)
    assert "ALL PICTURES LOOK LIKE 1 SCENES" in caplog.text


def test_what_is_found_does_not_change_what_squares_are_known_by(scenes: Path) -> None:
    assert load(scenes).fingerprint == load(scenes, groups="none").fingerprint


def test_a_forecast_decodes_nothing(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DataConfig(dataset="csv", csv=str(scenes / "scores.csv"))
    monkeypatch.setattr("iqa.data.scored.load.open_links", lambda *_, **__: pytest.fail("looked"))
    assert crossing(load_scored(settings, look=False).manifest) > 0
    monkeypatch.undo()
    load_scored(settings)
    assert crossing(load_scored(settings, look=False).manifest) == 0
