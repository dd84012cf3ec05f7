"""Clean pictures: from packages, from CIFAR-10 and from any folder, however its files are made."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from drawn import draw
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS
from iqa.data.synthetic.sources import load_clean
from iqa.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        draw(tmp_path / "pictures" / f"{number // 10}" / f"{number}.png", number)
    return tmp_path / "pictures"


def source(root: Path, **changes: object):
    return load_clean(DataConfig(dataset="folder", root=str(root), **{"picture_size": 48, **changes}))


def assert_disjoint(contents: dict) -> None:
    assert set(contents) == set(SPLITS)
    names = [name for split in SPLITS for name in contents[split]]
    assert len(names) == len(set(names))
    assert all(len(contents[split]) for split in SPLITS)


@pytest.mark.parametrize("seed", range(20))
def test_photographs_of_packages_stay_in_one_split(seed: int) -> None:
    contents = load_clean(DataConfig(dataset="photos", seed=seed)).contents()
    assert_disjoint(contents)
    assert {split: len(names) for split, names in contents.items()} == {"train": 9, "val": 3, "test": 3}


def test_photographs_of_packages_can_be_read() -> None:
    photos = load_clean(DataConfig(dataset="photos"))
    assert "camera" in photos.colourless()
    assert "astronaut" not in photos.colourless()
    for name in (name for names in photos.contents().values() for name in names):
        picture = photos.read(f"{name}#0")
        assert picture.shape == (224, 224, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 10


def test_crops_of_a_photograph_differ_and_are_repeatable() -> None:
    photos, again = (load_clean(DataConfig(dataset="photos")) for _ in range(2))
    first, second = photos.read("coffee#1"), photos.read("coffee#2")
    assert (first != second).mean() > 0.5
    np.testing.assert_array_equal(first, again.read("coffee#1"))


def test_a_folder_is_split_by_file(folder: Path) -> None:
    contents = source(folder).contents()
    assert_disjoint(contents)
    assert {split: len(names) for split, names in contents.items()} == {"train": 14, "val": 2, "test": 4}
    assert contents != source(folder, seed=1).contents()


def test_copies_of_a_file_count_once(folder: Path) -> None:
    for number in range(20):
        original = folder / f"{number // 10}" / f"{number}.png"
        (folder / f"copy of {number}.png").write_bytes(original.read_bytes())
    assert sum(map(len, source(folder).contents().values())) == 20


def test_the_first_crop_is_the_whole_middle(tmp_path: Path) -> None:
    for number in range(3):
        path = draw(tmp_path / f"{number}.png", number, size=(60, 48))
    middle = np.asarray(Image.open(path))[:, 6:54]
    np.testing.assert_array_equal(source(tmp_path).read("2.png#0"), middle)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    for number in range(3):
        path = draw(tmp_path / f"{number}.{suffix}", number, size=(48, 48), mode=mode)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_allclose(source(tmp_path).read(f"2.{suffix}#0").astype(int), expected, atol=1)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 48 * 48).reshape(48, 48).astype(np.uint16)
    for number in range(3):
        Image.fromarray(np.roll(ramp, number)).save(tmp_path / f"{number}.png")
    picture = source(tmp_path).read("0.png#0")
    np.testing.assert_array_equal(picture[..., 0], ramp // 257)


def test_transparency_is_put_on_white(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGBA", (48, 48), (number, 0, 0, 0)).save(tmp_path / f"{number}.png")
    assert (source(tmp_path).read("1.png#0") == 255).all()


def test_pictures_are_turned_as_exif_says(tmp_path: Path) -> None:
    for number in range(3):
        half = Image.new("RGB", (64, 64), "white")
        half.paste((20 * number, 0, 0), (0, 0, 64, 32))
        exif = half.getexif()
        exif[0x0112] = 3
        half.save(tmp_path / f"{number}.jpg", exif=exif)
    picture = source(tmp_path).read("0.jpg#0")
    assert picture[:16].mean() > 200 > 50 > picture[-16:].mean()


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "one.png", 1)
    with pytest.raises(UserError, match="at least 3"):
        source(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root"):
        source(tmp_path / "nowhere")


def test_files_that_are_no_pictures_are_all_reported(folder: Path) -> None:
    for number in range(7):
        (folder / f"broken{number}.jpg").write_bytes(b"no picture %d" % number)
    with pytest.raises(UserError, match=r"(?s)7 pictures.*broken0\.jpg.*broken4\.jpg"):
        source(folder).colourless()


def test_a_decompression_bomb_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(folder / "large.png", 99, size=(300, 300))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(UserError, match=r"large\.png.*limit"):
        source(folder).colourless()


def test_the_fingerprint_sees_a_changed_file(folder: Path) -> None:
    before = source(folder).fingerprint
    assert before == source(folder).fingerprint
    draw(folder / "0" / "3.png", 77)
    assert before != source(folder).fingerprint


def test_cifar10_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root"):
        load_clean(DataConfig(dataset="cifar10", root=str(tmp_path / "nowhere")))


def test_a_folder_without_cifar10_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(UserError, match=r"data\.root"):
        load_clean(DataConfig(dataset="cifar10", root=str(tmp_path))).contents()


def test_an_unreachable_hub_is_reported_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets  # outside the measured time

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"data\.root"):
        load_clean(DataConfig(dataset="cifar10")).contents()
    assert time.monotonic() - start < 10


def test_cifar10_keeps_its_own_test_pictures(shared_data: Path) -> None:
    root = shared_data / "cifar10"
    if not root.is_dir():
        pytest.skip(f"no CIFAR-10 at {root}")
    before = sorted(root.iterdir())
    cifar = load_clean(DataConfig(dataset="cifar10", root=str(root)))
    contents = cifar.contents()
    assert_disjoint(contents)
    assert {split: len(contents[split]) for split in SPLITS} == {"train": 45000, "val": 5000, "test": 10000}
    assert all(name.startswith("cifar10/test/") for name in contents["test"])
    assert cifar.read(contents["test"][0]).shape == (32, 32, 3)
    assert sorted(root.iterdir()) == before
