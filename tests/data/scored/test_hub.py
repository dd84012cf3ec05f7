"""Scored sets through Hugging Face `datasets`, from local folders: pictures as files, in the table, or by name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.scored.hub import open_huggingface
from iqa.data.scored.load import load_scored
from iqa.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_cache")


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (24 + number, 16), (number * 9, 0, 0))


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def embedded(root: Path, sizes: Mapping[str, int] = {"train": 12, "validation": 3, "test": 5}) -> Path:
    """Parquet files with the pictures inside."""
    root.mkdir(exist_ok=True)
    first = 0
    for split, size in sizes.items():
        numbers = range(first, first + size)
        cells = {
            "photo": [{"bytes": png(number), "path": None} for number in numbers],
            "mos": list(map(float, numbers)),
        }
        features = Features({"photo": datasets.Image(), "mos": Value("float64")})
        Dataset.from_dict(cells, features=features).to_parquet(root / f"{split}-00000-of-00001.parquet")
        first += size
    return root


def imagefolder(root: Path, splits: tuple[str, ...] = ("train", "test")) -> Path:
    """Picture files with a metadata.csv beside them."""
    for start, split in enumerate(splits):
        (root / split).mkdir(parents=True)
        lines = ["file_name,mos"]
        for number in range(20 * start, 20 * start + 20):
            picture(number).save(root / split / f"{number}.png")
            lines.append(f"{number}.png,{number}")
        (root / split / "metadata.csv").write_text("\n".join(lines))
    return root


def settings(root: Path, **changes: object) -> DataConfig:
    return DataConfig(dataset="huggingface", root=str(root), **changes)


def assert_pictures_belong_to_scores(found) -> None:
    for row in found.manifest.itertuples():
        number = round(float(found.scale.from_unit(row.score)))
        assert found.read(row.image).size == picture(number).size


def test_pictures_inside_parquet_keep_the_splits_of_the_set(tmp_path: Path) -> None:
    found = load_scored(settings(embedded(tmp_path / "set")))
    assert found.manifest["split"].value_counts().to_dict() == {"train": 12, "test": 5, "val": 3}
    assert found.manifest["image"].iloc[0] == "train/0"
    assert_pictures_belong_to_scores(found)


def test_pictures_beside_a_metadata_file_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagefolder(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    found = load_scored(settings(Path("set")))
    assert found.manifest["image"].iloc[0] == "train/0.png"
    assert set(found.manifest["image"][20:]) == {f"test/{number}.png" for number in range(20, 40)}
    assert found.manifest["split"].value_counts().to_dict() == {"test": 20, "train": 18, "val": 2}
    assert_pictures_belong_to_scores(found)


def test_names_of_files_are_relative_to_the_image_root(tmp_path: Path) -> None:
    root = imagefolder(tmp_path / "set", ("train",))
    (tmp_path / "table").mkdir()
    cells = {"filename": [f"{number}.PNG" for number in range(20)], "quality": list(range(20))}
    Dataset.from_dict(cells).to_parquet(tmp_path / "table" / "data.parquet")
    found = load_scored(settings(tmp_path / "table", image_root=str(root / "train")))
    assert found.manifest["image"].tolist() == [f"{number}.png" for number in range(20)]
    assert found.manifest["split"].nunique() == 3
    assert_pictures_belong_to_scores(found)


def test_a_set_saved_to_disk_is_read(tmp_path: Path) -> None:
    parts = datasets.load_dataset(str(embedded(tmp_path / "set")))
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    found = load_scored(settings(tmp_path / "saved"))
    assert len(found.manifest) == 20
    assert_pictures_belong_to_scores(found)


def test_the_settings_choose_columns_and_splits(tmp_path: Path) -> None:
    features = Features(
        {"a": datasets.Image(), "b": datasets.Image(), "x": Value("int32"), "mos": Value("int32"),
         "part": ClassLabel(names=["testing", "training", "val"])}
    )  # fmt: skip
    cells = {
        "a": [{"bytes": png(number), "path": None} for number in range(9)],
        "b": [{"bytes": png(8 - number), "path": None} for number in range(9)],
        "x": list(range(8, -1, -1)),
        "mos": [0] * 9,
        "part": [0, 1, 2] * 3,
    }
    (tmp_path / "set").mkdir()
    Dataset.from_dict(cells, features=features).to_parquet(tmp_path / "set" / "data.parquet")
    with pytest.raises(UserError, match=r"data\.columns\.image"):
        load_scored(settings(tmp_path / "set", columns={"score": "x"}))
    found = load_scored(settings(tmp_path / "set", columns={"image": "b", "score": "x", "split": "part"}))
    assert found.manifest["split"].tolist() == ["test", "train", "val"] * 3
    assert_pictures_belong_to_scores(found)


def test_splits_can_be_drawn_anew(tmp_path: Path) -> None:
    found = load_scored(settings(embedded(tmp_path / "set"), columns={"split": ""}))
    assert found.manifest["split"].value_counts().to_dict() == {"train": 14, "test": 4, "val": 2}


def test_a_split_without_scores_is_reported(tmp_path: Path) -> None:
    root = embedded(tmp_path / "set", {"train": 12, "validation": 3})
    cells = {"photo": [{"bytes": png(1), "path": None}], "mos": [None]}
    features = Features({"photo": datasets.Image(), "mos": Value("float64")})
    Dataset.from_dict(cells, features=features).to_parquet(root / "test-00000-of-00001.parquet")
    with pytest.raises(UserError, match="score is no number: test/0"):
        load_scored(settings(root))
    assert "test/0" not in set(load_scored(settings(root, on_error="skip")).manifest["image"])


def test_paths_inside_a_table_do_not_lead_out(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "secret.png")
    features = Features({"image": datasets.Image(), "mos": Value("float64")})
    outside = {"bytes": None, "path": str(tmp_path / "secret.png")}
    inside = [{"bytes": png(number), "path": None} for number in range(17)]
    for name, cells in (("mixed", [outside, *inside]), ("paths", [outside] * 18)):
        (tmp_path / name).mkdir()
        table = Dataset.from_dict({"image": cells, "mos": list(range(18))}, features=features)
        table.to_parquet(tmp_path / name / "data.parquet")
        found = load_scored(settings(tmp_path / name))
        with pytest.raises(ValueError, match="outside"):
            found.read("train/0")


def test_bytes_that_are_no_picture_are_a_value_error(tmp_path: Path) -> None:
    root = embedded(tmp_path / "set", {"train": 5, "validation": 2})
    features = Features({"photo": datasets.Image(), "mos": Value("float64")})
    cells = {"photo": [{"bytes": b"no picture", "path": None}, None], "mos": [7.0, 8.0]}
    Dataset.from_dict(cells, features=features).to_parquet(root / "test-00000-of-00001.parquet")
    found = load_scored(settings(root))
    for name in ("test/0", "test/1"):
        with pytest.raises(ValueError, match="no picture"):
            found.read(name)


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    root = embedded(tmp_path / "set")
    before = load_scored(settings(root)).fingerprint
    assert before == load_scored(settings(root)).fingerprint
    embedded(root, {"train": 13, "validation": 3, "test": 4})
    assert before != load_scored(settings(root)).fingerprint


def test_a_folder_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root is no folder"):
        open_huggingface(settings(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        open_huggingface(settings(tmp_path / "empty"))


def test_an_unreachable_hub_is_reported() -> None:
    with pytest.raises(UserError, match=r"(?s)hub cannot be reached and someone/photos.*data\.root"):
        open_huggingface(DataConfig(dataset="huggingface", hub_name="someone/photos"))


def test_a_score_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)data\.columns\.score.*photo, mos"):
        open_huggingface(settings(embedded(tmp_path / "set"), columns={"score": "beauty"}))


def test_a_missing_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    Dataset.from_dict({"filename": ["a.png"], "quality": [1]}).to_parquet(tmp_path / "table" / "data.parquet")
    with pytest.raises(UserError, match=r"(?s)data\.image_root is no folder.*nowhere"):
        open_huggingface(settings(tmp_path / "table", image_root="nowhere"))


def test_pictures_that_are_twice_in_a_set_stay_in_one_split(tmp_path: Path) -> None:
    cells = {
        "photo": [{"bytes": png(number // 2), "path": None} for number in range(40)],
        "mos": [number / 2 for number in range(40)],
    }
    (tmp_path / "set").mkdir()
    features = Features({"photo": datasets.Image(), "mos": Value("float64")})
    Dataset.from_dict(cells, features=features).to_parquet(tmp_path / "set" / "data.parquet")
    manifest = load_scored(settings(tmp_path / "set")).manifest
    assert manifest["split"][::2].tolist() == manifest["split"][1::2].tolist()


def test_links_in_a_local_folder_are_followed(tmp_path: Path) -> None:
    # As in the hub's own cache, whose files are links to where their bytes are kept.
    root = imagefolder(tmp_path / "set", ("train",))
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate(sorted((root / "train").glob("*.png"))):
        path.rename(tmp_path / "blobs" / str(number))
        path.symlink_to(tmp_path / "blobs" / str(number))
    assert_pictures_belong_to_scores(load_scored(settings(root)))


def test_rows_are_read_from_several_threads(tmp_path: Path) -> None:
    found = load_scored(settings(embedded(tmp_path / "set")))
    names = found.manifest["image"].tolist() * 5
    with ThreadPoolExecutor(8) as threads:
        widths = [image.width for image in threads.map(found.read, names)]
    np.testing.assert_array_equal(widths, list(range(24, 44)) * 5)
