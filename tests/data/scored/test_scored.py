"""From a table of scores to a manifest: the way of a user's own set, and of a real one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.manifest import COLUMNS, SPLITS, validate
from iqa.data.scored.load import ScoredSet, load_scored
from iqa.errors import UserError


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    """40 pictures of 20 references, scored 1 to 5, and their table."""
    lines = ["image,mos,ref_name"]
    for number in range(40):
        Image.new("RGB", (20 + number, 16), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
        lines.append(f"{number:02}.PNG,{1 + number / 39 * 4},ref{number // 2}")
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    return tmp_path


def load(root: Path, **settings: object) -> ScoredSet:
    return load_scored(DataConfig(dataset="csv", csv=str(root / "scores.csv"), **settings))


def edit(root: Path, change) -> None:
    table = pd.read_csv(root / "scores.csv")
    change(table).to_csv(root / "scores.csv", index=False)


def test_a_table_becomes_a_manifest(own_set: Path) -> None:
    found = load(own_set)
    validate(found.manifest)
    assert tuple(found.manifest.columns) == COLUMNS
    assert found.manifest["image"].tolist() == [f"{number:02}.png" for number in range(40)]
    np.testing.assert_allclose(found.manifest["score"], np.arange(40) / 39, atol=1e-6)
    assert found.manifest["content"].iloc[3] == "ref1"
    assert found.manifest["split"].value_counts().to_dict() == {"train": 28, "test": 8, "val": 4}
    assert found.manifest[["kind", "level", "seed", "subset"]].drop_duplicates().to_numpy().tolist() == [["", 0, 0, ""]]
    assert (found.report.rows, found.report.used) == (40, 40)


def test_low_scores_may_be_the_good_ones(own_set: Path) -> None:
    up = load(own_set, score_range=(0, 10))
    down = load(own_set, score_range=(0, 10), score_direction="lower_is_better")
    np.testing.assert_allclose(down.manifest["score"], 1 - up.manifest["score"], atol=1e-6)
    assert up.manifest["score"].between(0.1, 0.5).all()
    np.testing.assert_allclose(down.scale.from_unit(down.manifest["score"]), 1 + np.arange(40) / 39 * 4, atol=1e-5)


def test_the_order_of_the_table_decides_nothing(own_set: Path) -> None:
    first = load(own_set, train_samples=10).manifest
    edit(own_set, lambda table: table.sample(frac=1, random_state=0))
    again = load(own_set, train_samples=10).manifest
    pd.testing.assert_frame_equal(first, again.sort_values("image", ignore_index=True))


def test_groups_that_differ_in_case_are_one(own_set: Path) -> None:
    edit(own_set, lambda table: table.assign(ref_name=[f"{'Rr'[row % 2]}ef{row // 2}" for row in range(40)]))
    first = load(own_set).manifest
    assert first.groupby("content").size().tolist() == [2] * 20
    edit(own_set, lambda table: table[::-1])
    pd.testing.assert_frame_equal(first, load(own_set).manifest.sort_values("image", ignore_index=True))


def test_a_larger_bound_keeps_the_earlier_pictures(own_set: Path) -> None:
    chosen = [load(own_set, train_samples=bound, test_samples=4).manifest for bound in (6, 12, 1000)]
    names = [set(manifest["image"][manifest["split"] == "train"]) for manifest in chosen]
    assert [len(found) for found in names] == [6, 12, 28]
    assert names[0] < names[1] < names[2]
    assert [int((manifest["split"] == "test").sum()) for manifest in chosen] == [4, 4, 4]
    assert names[0] != set(load(own_set, train_samples=6, split_seed=1).manifest["image"])


def test_the_set_s_own_split_is_kept(own_set: Path) -> None:
    words = ["training"] * 20 + ["validation"] * 10 + ["testing"] * 10
    edit(own_set, lambda table: table.assign(set=words))
    assert load(own_set).manifest["split"].tolist() == ["train"] * 20 + ["val"] * 10 + ["test"] * 10


def test_faults_fail_or_are_skipped(own_set: Path) -> None:
    (own_set / "07.png").unlink()
    edit(own_set, lambda table: table.assign(mos=table["mos"].where(table.index != 3)))
    with pytest.raises(UserError, match=r"(?s)2 rows.*07\.PNG.*data\.on_error"):
        load(own_set)
    found = load(own_set, on_error="skip")
    assert len(found.manifest) == 38
    assert found.report.faults == 2


def test_scores_that_no_longer_differ_are_refused(own_set: Path) -> None:
    edit(own_set, lambda table: table.assign(mos=[1] * 39 + [2]))
    (own_set / "39.png").unlink()
    with pytest.raises(UserError, match="one and the same score"):
        load(own_set, on_error="skip")


def test_the_fingerprint_sees_tables_and_pictures(own_set: Path) -> None:
    seen = [load(own_set).fingerprint]
    assert load(own_set).fingerprint == seen[0]
    os.utime(own_set / "05.png", ns=(1, 1))
    seen.append(load(own_set).fingerprint)
    Image.new("RGB", (900, 900)).save(own_set / "05.png")
    os.utime(own_set / "05.png", ns=(1, 1))
    seen.append(load(own_set).fingerprint)
    with (own_set / "scores.csv").open("a") as file:
        file.write("\n")
    seen.append(load(own_set).fingerprint)
    assert len(set(seen)) == 4


def test_a_picture_beside_the_table_does_not_count(own_set: Path) -> None:
    before = load(own_set).fingerprint
    Image.new("RGB", (9, 9)).save(own_set / "stray.png")
    assert load(own_set).fingerprint == before


@pytest.mark.parametrize("kind", ["mpo", "grey", "cmyk", "alpha", "sixteen", "turned"])
def test_every_kind_of_picture_is_read_as_rgb(own_set: Path, kind: str) -> None:
    path = own_set / "00.png"
    size = (30, 18)
    if kind == "mpo":
        other = Image.new("RGB", size, "blue")
        Image.new("RGB", size, "red").save(path, "MPO", save_all=True, append_images=[other])
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (18, 30), "red").save(path, "JPEG", exif=exif)
    elif kind == "sixteen":
        Image.fromarray(np.full(size[::-1], 65535, dtype=np.uint16)).save(path)
    elif kind == "cmyk":
        Image.new("CMYK", size, (0, 255, 255, 0)).save(path, "JPEG")
    else:
        Image.new({"grey": "L", "alpha": "RGBA"}[kind], size, {"grey": 255, "alpha": (255, 0, 0, 255)}[kind]).save(path)
    image = load(own_set).read("00.png")
    assert (image.mode, image.size) == ("RGB", size)
    assert image.getpixel((5, 5))[0] > 240


def test_reading_refuses_what_is_no_picture_of_the_set(own_set: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(own_set / "00.png")
    (own_set / "00.png").write_bytes((own_set / "00.png").read_bytes()[:2000])
    (own_set / "01.png").write_text("no picture")
    Image.new("RGB", (9, 9)).save(own_set / "stray.png")
    found = load(own_set)
    for name, reason in (("00.png", "truncated"), ("01.png", "no picture"), ("stray.png", "not in the manifest")):
        with pytest.raises(ValueError, match=reason):
            found.read(name)


def test_pictures_without_human_scores_are_not_loaded_here() -> None:
    with pytest.raises(UserError, match="photos"):
        load_scored(DataConfig(dataset="photos"))


def test_a_real_table_joins_completely(shared_data: Path) -> None:
    root = shared_data / "biq2021"
    if not root.is_dir():
        pytest.skip(f"no BIQ2021 at {root}")
    table = "Train (Images and MOS).csv"
    found = load_scored(DataConfig(dataset="csv", root=str(root), csv=table, image_root="Images", score_range=(0, 1)))
    assert (found.report.rows, found.report.used, found.report.duplicates) == (3600, 3600, 0)
    assert found.manifest["split"].value_counts().to_dict() == {"train": 2520, "test": 720, "val": 360}
    # The table says .jpg.
    assert "ss02 (1014).JPG" in set(found.manifest["image"])
    written = pd.read_csv(root / table).set_index("Image Name")["MOS"]
    sample = found.manifest.iloc[::97]
    np.testing.assert_allclose(sample["score"], written[sample["image"]], atol=1e-6)
    assert all(found.read(name).size == (512, 512) for name in sample["image"][:3])
    assert set(found.manifest["split"]) == set(SPLITS)


def test_one_line_says_what_was_taken_for_what(own_set: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(own_set)
    (record,) = caplog.records
    assert record.getMessage() == (
        "scores.csv: comma between columns, header in line 1, 40 rows; pictures in 'image', scores in 'mos', "
        "groups in 'ref_name'; 20 groups, 4 of them in test; 28 train, 4 val, 8 test (drawn); FEW GROUPS in val and "
        "test: figures there tell little of other contents; set data.columns.group to '' if the pictures of a group "
        "are not alike"
    )
    load(own_set)  # as a repeated training does
    assert len(caplog.records) == 1


def test_files_that_are_copies_stay_in_one_split_and_it_is_said(tmp_path: Path, caplog) -> None:
    lines = ["image,mos"]
    for number in range(24):
        Image.new("RGB", (20, 16), (number // 2, 0, 0)).save(tmp_path / f"{number:02}.png")
        lines.append(f"{number:02}.png,{1 + number // 2 / 3}")
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    manifest = load(tmp_path).manifest
    assert manifest["split"][::2].tolist() == manifest["split"][1::2].tolist()
    # A pair of copies has one score, so that validation needs two of them.
    assert manifest["split"].value_counts().to_dict() == {"train": 16, "val": 4, "test": 4}
    assert "24 pictures are copies of each other, such as 00.png and 01.png" in caplog.text


def test_a_split_on_which_nothing_can_be_told_is_refused(own_set: Path) -> None:
    words = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    edit(own_set, lambda table: table.assign(set=words, mos=table["mos"].where(table.index % 40 < 20, 3), ref_name=""))
    with pytest.raises(UserError, match="validation scores are all alike"):
        load(own_set)
    assert (
        len(load_scored(DataConfig(dataset="csv", csv=str(own_set / "scores.csv")), judged_whole=True).manifest) == 40
    )


def test_too_few_pictures_are_told_with_their_counts(own_set: Path) -> None:
    edit(own_set, lambda table: table[:12].assign(ref_name=""))
    with pytest.raises(UserError, match=r"(?s)12 pictures: 8 train, 1 val, 3 test.*data\.split_shares"):
        load(own_set)
    assert len(load(own_set, split_shares=(0.5, 0.25, 0.25)).manifest) == 12


def test_cells_that_were_merged_are_no_groups_of_their_own(own_set: Path) -> None:
    edit(own_set, lambda table: table.assign(ref_name=table["ref_name"].where(table.index % 2 == 0)))
    with pytest.raises(UserError, match=r"(?s)only some rows of scores\.csv name a group.*20 of 40"):
        load(own_set)
    assert load(own_set, columns={"group": ""}).manifest["content"].nunique() == 40


def test_a_split_of_one_content_is_drawn_again_with_two(own_set: Path) -> None:
    edit(own_set, lambda table: table.assign(ref_name=[f"ref{row // 5}" for row in range(40)]))
    manifest = load(own_set, split_shares=(0.8, 0.1, 0.1)).manifest
    assert manifest.groupby("split")["content"].nunique().to_dict() == {"train": 4, "val": 2, "test": 2}


def test_too_few_contents_are_refused_before_a_picture_is_looked_at(own_set: Path, monkeypatch) -> None:
    monkeypatch.setattr("iqa.data.scored.load.open_links", lambda *_, **__: pytest.fail("looked"))
    edit(own_set, lambda table: table.iloc[:5].drop(columns="ref_name"))
    with pytest.raises(UserError, match="too few contents to draw val and test from: 5"):
        load(own_set)
