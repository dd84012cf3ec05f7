"""Pictures are prepared once, the same whoever does it, and what is damaged on disk is never used."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import draw
from forked import Begun
from PIL import Image
from places import ROOT

from iqa.commands.doctor import main as doctor
from iqa.config.data import DataConfig
from iqa.data.manifest import PRISTINE, SPLITS
from iqa.data.prepared import PixelStore, prepare
from iqa.data.store import intact
from iqa.data.store.batches import Batches, _prefetch
from iqa.data.store.cache import cache_folder, open_or_build
from iqa.data.synthetic import prepare as steps
from iqa.data.synthetic.distortions import distort
from iqa.data.synthetic.sources import load_clean
from iqa.errors import IqaError, UserError


def settings(root: Path | None, cache: Path, /, **changes: object) -> DataConfig:
    values = {
        "dataset": "folder",
        "root": str(root),
        "cache_dir": str(cache),
        "picture_size": 40,
        "train_samples": 40,
        "val_samples": 10,
        "test_samples": 12,
        "pristine_share": 0.1,
    }
    return DataConfig(**values | changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        draw(root / f"{number}.png", number)
    return root


@pytest.fixture(scope="module")
def data(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return settings(pictures, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def store(data: DataConfig) -> PixelStore:
    return prepare(data)


def folder_of(data: DataConfig) -> Path:
    (folder,) = (path for path in Path(data.cache_dir or "").iterdir() if not path.name.startswith("."))
    return folder


def temporaries(cache: Path) -> list[Path]:
    return list(cache.glob("*.tmp")) + list(cache.glob(".*.tmp"))


def test_a_store_has_what_was_asked_for(store: PixelStore) -> None:
    assert {split: len(store.indices(split)) for split in SPLITS} == {"train": 40, "val": 10, "test": 12}
    assert store.images.shape == (62, 3, 40, 40)
    assert store.images.dtype == torch.uint8
    assert store.scores.dtype == torch.float32
    assert store.scores.min() >= 0
    assert store.scores.max() <= 1
    assert store.views.side == 40
    assert store.score_name == "pseudo-MOS"
    np.testing.assert_array_equal(store.thumbnail(3), store.images[3].permute(1, 2, 0))
    with pytest.raises(UserError, match="exam"):
        store.indices("exam")


def test_each_row_is_its_clean_picture_distorted(store: PixelStore, data: DataConfig) -> None:
    source = load_clean(data)
    for row in store.manifest.itertuples():
        clean = torch.from_numpy(source.read(row.image).copy()).permute(2, 0, 1)[None]
        expected = clean if row.kind == PRISTINE else distort(clean, row.kind, row.level, [row.seed])
        torch.testing.assert_close(store.images[row.Index], expected[0])


@pytest.mark.parametrize(
    "changes", [{"dataset": "photos", "root": None}, {"dataset": "folder"}, {"dataset": "cifar10"}], ids=str
)
def test_no_photograph_crosses_splits(
    changes: dict, pictures: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if changes["dataset"] == "cifar10":
        changes["root"] = str(request.getfixturevalue("shared_data") / "cifar10")
        if not Path(changes["root"]).is_dir():
            pytest.skip(f"no CIFAR-10 at {changes['root']}")
    manifest = prepare(settings(pictures, tmp_path, **changes)).manifest
    assert (manifest.groupby("content")["split"].nunique() == 1).all()
    assert set(manifest["split"]) == set(SPLITS)


def test_workers_and_chunks_change_nothing(
    store: PixelStore, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "CHUNK_BYTES", 7 * 3 * 40 * 40)
    monkeypatch.setattr(steps, "BATCH_PIXELS", 2 * 40 * 40)
    other = prepare(data.model_copy(update={"cache_dir": str(tmp_path), "num_workers": 0}))
    assert other.digest == store.digest


def test_the_second_time_nothing_is_prepared(
    store: PixelStore, data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "distort", None)
    again = prepare(data)
    assert again.digest == store.digest
    assert torch.equal(again.images, store.images)
    assert torch.equal(again.scores, store.scores)
    pd.testing.assert_frame_equal(again.manifest, store.manifest)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"train_samples": 41}, {"picture_size": 41}], ids=str)
def test_another_recipe_gives_another_store(store: PixelStore, data: DataConfig, changes: dict) -> None:
    assert prepare(data.model_copy(update=changes)).digest != store.digest


def test_writing_to_the_pictures_leaves_the_cache_alone(store: PixelStore, data: DataConfig) -> None:
    own = prepare(data)
    own.images[0] = 255 - own.images[0]
    assert torch.equal(prepare(data).images, store.images)


def flip_a_byte(folder: Path) -> None:
    with (folder / "pixels.bin").open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def change_a_score(folder: Path) -> None:
    path = folder / "manifest.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))


def lose_a_page(folder: Path) -> None:
    """As a disk does it: the file keeps its time."""
    path = folder / "pixels.bin"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(4096))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGE = {
    "flipped byte": flip_a_byte,
    "lost page": lose_a_page,
    "cut pixels": lambda folder: os.truncate(folder / "pixels.bin", 1000),
    "changed score": change_a_score,
    "lost manifest": lambda folder: (folder / "manifest.csv").unlink(),
    "lost record": lambda folder: (folder / "record.json").unlink(),
    "cut record": lambda folder: os.truncate(folder / "record.json", 40),
    "strange record": lambda folder: (folder / "record.json").write_text('{"files": {"pixels.bin": 1}}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_noticed_and_mended(
    damage, store: PixelStore, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = settings(pictures, tmp_path)
    prepare(data)
    damage(folder_of(data))
    with caplog.at_level(logging.WARNING):
        mended = prepare(data)
    assert mended.digest == store.digest
    assert torch.equal(mended.images, store.images)
    assert sum("built anew" in message for message in caplog.messages) == 1


def test_a_start_hashes_samples_alone_unless_something_was_written(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = settings(pictures, tmp_path)
    digest = prepare(data).digest
    hashed: list[str] = []
    describe = intact.describe

    def counted(path: Path) -> dict[str, Any]:
        hashed.append(path.name)
        return describe(path)

    monkeypatch.setattr(intact, "describe", counted)
    assert prepare(data).digest == digest
    assert not hashed
    os.utime(folder_of(data) / "pixels.bin")
    assert prepare(data).digest == digest
    assert "pixels.bin" in hashed
    hashed.clear()
    assert prepare(data).digest == digest
    assert not hashed, "whole again, and noted"


def test_a_bit_that_a_disk_lost_between_samples_is_found_by_the_doctor(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(intact, "SAMPLE", 16)
    data = settings(pictures, tmp_path)
    prepare(data)
    root = cache_folder(data.cache_dir)
    doctor(["--cache", str(root)])
    assert "DAMAGED" not in capsys.readouterr().out
    path = folder_of(data) / "pixels.bin"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(20)
        bit = file.read(1)[0] ^ 1
        file.seek(20)
        file.write(bytes([bit]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    prepare(data)  # unseen
    with pytest.raises(IqaError, match="1 of 1 folders are damaged"):
        doctor(["--cache", str(root)])
    assert "DAMAGED" in capsys.readouterr().out


SCRIPT = """
import sys
from iqa.commands.doctor import main as doctor
from iqa.config.data import DataConfig
from iqa.data.prepared import prepare
print(prepare(DataConfig.model_validate_json(sys.argv[1])).digest)
"""


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DataConfig], Begun]:
    """Begins another process that prepares a set."""
    place = tmp_path_factory.mktemp("elsewhere")
    (place / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return lambda data: Begun(["script.py", data.model_dump_json()], cwd=place, env=environment)


def test_two_processes_that_want_the_same_share_it(
    store: PixelStore, pictures: Path, tmp_path: Path, start: Callable[[DataConfig], Begun]
) -> None:
    both = [start(settings(pictures, tmp_path)) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [output.strip() for output, _ in outputs] == [store.digest] * 2
    assert not temporaries(tmp_path)


def test_what_a_killed_process_left_is_removed(
    store: PixelStore, pictures: Path, tmp_path: Path, start: Callable[[DataConfig], Begun]
) -> None:
    killed = start(settings(pictures, tmp_path, train_samples=20_000))
    deadline = time.monotonic() + 120
    while not temporaries(tmp_path) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert temporaries(tmp_path)
    assert prepare(settings(pictures, tmp_path)).digest == store.digest
    assert not temporaries(tmp_path)


def test_a_full_disk_is_reported_and_leaves_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(IqaError, match=r"(?s)cannot write.*No space left") as caught:
        prepare(settings(pictures, tmp_path))
    assert caught.value.exit_code == 1
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_what_cannot_fit_is_refused_before_a_picture_is_read(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: free)
    with pytest.raises(UserError) as caught:
        prepare(settings(pictures, tmp_path))
    for word in ("5 kB free", "data.cache_dir", "IQA_CACHE", "data.picture_size", str(tmp_path)):
        assert word in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_names_the_setting(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IqaError, match=r"(?s)data\.cache_dir.*IQA_CACHE"):
        prepare(settings(pictures, tmp_path / "file" / "cache"))
    monkeypatch.delenv("IQA_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without a home
    with pytest.raises(UserError, match=r"(?s)data\.cache_dir.*IQA_CACHE"):
        cache_folder(None)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_or_build(tmp_path, "name", {}, interrupted, lambda: 4)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_picture_that_breaks_off_is_named(pictures: Path, tmp_path: Path) -> None:
    for number in range(6):
        draw(tmp_path / "some" / f"{number}.png", number)
    for number in (1, 4):
        path = tmp_path / "some" / f"{number}.png"
        os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"(?s)2 pictures.*1\.png.*4\.png|2 pictures.*4\.png.*1\.png"):
        prepare(settings(tmp_path / "some", tmp_path / "cache"))


def test_more_samples_than_pictures_give_different_crops(pictures: Path, store: PixelStore) -> None:
    train = store.manifest[store.manifest["split"] == "train"]
    assert train["content"].nunique() < len(train)
    assert train["image"].is_unique


@pytest.mark.parametrize("resident", [False, True])
def test_a_pass_gives_the_squares_that_are_asked_for_in_their_order(store: PixelStore, resident: bool) -> None:
    train = store.indices("train")
    batches = Batches(store.images, train, 12, "cpu", resident=resident)
    for order in (None, torch.randperm(len(train), generator=torch.Generator().manual_seed(5))[:30]):
        expected = train if order is None else train[order]
        seen = []
        for images, rows in batches.run(order):
            assert torch.equal(images, store.images[rows])
            seen.append(rows)
        assert torch.equal(torch.cat(seen), expected)


def test_prefetched_batches_come_in_order_and_errors_arrive(store: PixelStore) -> None:
    parts = list(torch.arange(30).split(4))
    for part, images in zip(parts, _prefetch(store.images, parts, torch.device("cpu")), strict=True):
        assert torch.equal(images, store.images[part])
    with pytest.raises(IndexError):
        list(_prefetch(store.images, [torch.tensor([10**6])], torch.device("cpu")))


def test_leaving_an_epoch_early_stops_the_prefetching(store: PixelStore) -> None:
    prefetched = _prefetch(store.images, [torch.arange(4)] * 1000, torch.device("cpu"))
    next(prefetched)
    prefetched.close()  # joins the thread: it would hang here if the thread did not stop


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [False, True])
def test_batches_on_a_gpu_are_those_of_the_cpu(store: PixelStore, resident: bool) -> None:
    train = store.indices("train")
    here = Batches(store.images, train, 12, "cpu").run()
    there = Batches(store.images, train, 12, "cuda", resident=resident).run()
    for mine, yours in zip(here, there, strict=True):
        for expected, got in zip(mine, yours, strict=True):
            assert torch.equal(expected, got.cpu())


def test_cifar10_pictures_are_used_once_each(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "cifar10"
    if not root.is_dir():
        pytest.skip(f"no CIFAR-10 at {root}")
    store = prepare(settings(root, tmp_path, dataset="cifar10", picture_size=None, pristine_share=0.5))
    assert store.views.side == 32
    assert store.manifest["content"].is_unique
    untouched = store.manifest.query("kind == 'pristine'").iloc[0]
    clean = load_clean(DataConfig(dataset="cifar10", root=str(root))).read(untouched["image"])
    np.testing.assert_array_equal(store.thumbnail(untouched.name), Image.fromarray(clean))
