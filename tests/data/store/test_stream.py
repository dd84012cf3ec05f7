"""Squares that are decoded whenever they are read are the squares that the cache would have kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_model import picture

from iqa.data.store.pictures import read_rgb
from iqa.data.store.squares import PIXELS, Squares, open_squares, squares_folder
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError

VIEWS = ViewPolicy(32, crops=3)
SIZES = [(32, 32), (90, 40), (40, 64), (33, 200), (50, 50), (64, 64)]
NAMES = [f"{number}.png" for number in range(len(SIZES))]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (name, size) in enumerate(zip(NAMES, SIZES, strict=True)):
        picture(number, *size).save(folder / name)
    (folder / "4.png").write_bytes(b"torn")
    return folder


def opened(photos: Path, *, keep: bool) -> Squares:
    root = photos.parent / "cache"
    return open_squares(root, "set", "x", NAMES, lambda name: read_rgb(photos / name), VIEWS, keep=keep, progress=False)


def test_they_are_those_of_the_cache_and_take_no_room(photos: Path) -> None:
    kept, streamed = opened(photos, keep=True), opened(photos, keep=False)
    assert streamed.digest == kept.digest
    assert torch.equal(streamed.starts, kept.starts)
    assert streamed.unreadable.keys() == kept.unreadable.keys() == {"4.png"}
    assert tuple(streamed.images.shape) == tuple(kept.images.shape)
    for rows in (torch.arange(len(kept.images)), torch.tensor([7, 0, 7, 3]), torch.tensor([1])):
        assert torch.equal(streamed.images[rows], kept.images[rows])
    assert torch.equal(streamed.images[4], kept.images[4])
    folder = squares_folder(photos.parent / "cache", "set", "x", NAMES, VIEWS, keep=False)
    assert not (folder / PIXELS).exists()


def test_pictures_are_decoded_once_a_pass(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed = opened(photos, keep=False)
    read = []
    monkeypatch.setattr(streamed.images, "_read", lambda name: read.append(name) or read_rgb(photos / name))
    for rows in torch.arange(len(streamed.images)).split(2):
        streamed.images[rows]
    assert sorted(read) == sorted(set(NAMES) - {"4.png"})


@pytest.mark.parametrize("then", [b"torn", None, "another"], ids=["torn", "gone", "another"])
def test_a_picture_that_has_changed_since_is_not_learnt_from(photos: Path, then: bytes | str | None) -> None:
    streamed = opened(photos, keep=False)
    file = photos / "1.png"
    if isinstance(then, bytes):
        file.write_bytes(then)
    elif then is None:
        file.unlink()
    else:
        picture(77, *SIZES[1]).save(file)
    row = int(streamed.starts[1])
    with pytest.raises(UserError, match=r"1\.png .* looked through"):
        streamed.images[row]
    assert len(streamed.images[0])
