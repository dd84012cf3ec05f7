"""Variants of a picture are found, and other pictures are not taken for them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from iqa.data.audit.twins import likeness
from iqa.data.audit.twins.groups import group_by, groups_from_file, groups_to_csv, linked, pairs_of
from iqa.data.audit.twins.likeness import ALIKE, cropped_likeness, detail, near_pairs
from iqa.data.audit.twins.links import known_links, open_links
from iqa.data.audit.twins.looks import SIDE, look
from iqa.data.audit.twins.series import series_pairs, stems
from iqa.data.store.pictures import read_rgb
from iqa.data.synthetic.distortions import KINDS, distort
from iqa.errors import UserError

NONE = np.empty((0, 2), np.int64)
#: Photographs that scikit-image carries inside its package.
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "brick", "grass", "gravel")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Photographs, each with others cut out of it that show something else."""
    whole = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTOS]
    halves = [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]
    cut = [
        each.crop([round(part * each.size[n % 2]) for n, part in enumerate(half)]) for each in whole for half in halves
    ]
    return [each.resize((192, 160)) for each in (*whole, *cut)]


def encoded(picture: Image.Image, **how: object) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", **how)
    return read_rgb(file, least=64)


def variants(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """What people make of a picture: all kinds of distortion at levels 1 to 3, crops, mirror images, other sizes."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    for kind in KINDS:
        for level in (1, 2, 3):
            yield kind, Image.fromarray(distort(pixels, kind, level, [7])[0].permute(1, 2, 0).numpy())
    width, height = picture.size
    for share in (0.01, 0.02, 0.03, 0.04):
        x, y = round(share * width), round(share * height)
        yield "crop in the middle", picture.crop((x // 2, y // 2, width - x // 2, height - y // 2))
        yield "crop at a corner", picture.crop((0, y, width - x, height))
    for way in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180):
        yield "mirrored", encoded(picture.transpose(way), quality=80)
    for quality in (10, 40, 80):
        yield "recompressed", encoded(picture, quality=quality)
    for scale in (0.4, 0.7, 2):
        yield "resized", encoded(picture.resize((round(scale * width), round(scale * height))), quality=90)


def test_variants_of_a_picture_are_found_and_nothing_else(photos: list[Image.Image], record_property) -> None:
    chosen = photos[:: len(photos) // 9]
    looks, source, kinds = [look(each) for each in photos], list(range(len(photos))), ["itself"] * len(photos)
    for number, photo in zip(range(0, len(photos), len(photos) // 9), chosen, strict=True):
        for kind, made in variants(photo):
            looks.append(look(made))
            source.append(number)
            kinds.append(kind)
    pairs = near_pairs(np.stack(looks))
    groups = linked(len(looks), pairs)
    # A picture with many variants needs no more neighbours than hold it together with them.
    found = np.array([groups[row] == groups[source[row]] for row in range(len(photos), len(looks))])
    right = np.array([source[one] == source[other] for one, other in pairs])
    record_property("recall", float(found.mean()))
    record_property("precision", float(right.mean()))
    missed = [kinds[len(photos) + row] for row in np.flatnonzero(~found)]
    assert found.mean() >= 0.97, missed
    assert right.mean() >= 0.995, [(pair.tolist(), kinds[pair[0]], kinds[pair[1]]) for pair in pairs[~right]]


def test_likeness_knows_itself_and_nothing_in_what_is_blank(photos: list[Image.Image]) -> None:
    grey = np.stack([look(photo) for photo in photos[:6]])
    np.testing.assert_allclose((detail(grey) ** 2).sum(axis=1), 1, rtol=1e-4)
    likeness = detail(grey) @ detail(grey).T
    np.testing.assert_allclose(likeness, likeness.T, atol=1e-5)
    assert (np.abs(likeness) <= 1 + 1e-5).all()
    blank = np.full((2, SIDE, SIDE), 77, np.uint8)
    assert not detail(blank).any()
    assert near_pairs(np.concatenate([blank, grey[:1]])).tolist() == []


def test_light_and_tone_do_not_part_a_picture_from_itself(photos: list[Image.Image]) -> None:
    dark = photos[0].point(lambda value: int(value * 0.3 + 5))
    likeness = float((detail(look(photos[0])[None]) * detail(look(dark)[None])).sum())
    assert likeness > 0.95 > ALIKE


def test_a_crop_is_told_whichever_is_the_whole_one(photos: list[Image.Image]) -> None:
    width, height = photos[1].size
    whole, part = look(photos[1])[None], look(photos[1].crop((0, 0, round(0.95 * width), round(0.95 * height))))[None]
    there, back = cropped_likeness(whole, part), cropped_likeness(part, whole)
    assert there == pytest.approx(back, abs=1e-5)
    assert there > 0.9


def test_only_pictures_that_are_like_another_are_sorted(
    photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    sort, rows = likeness._nearest, 0

    def counted(known: np.ndarray, nearest: np.ndarray, alike: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal rows
        rows += len(alike)
        return sort(known, nearest, alike, start)

    monkeypatch.setattr(likeness, "_nearest", counted)
    monkeypatch.setattr(likeness, "BLOCK", 64)
    noise = np.random.default_rng(0).integers(0, 256, (1000, SIDE, SIDE), dtype=np.uint8)
    twins = look(photos[0])[None]
    assert near_pairs(np.concatenate([noise[:500], twins, noise[500:], twins])).tolist() == [[500, 1001]]
    assert rows == 2  # as they are, and as they might be mirrored


def test_memory_stays_flat_where_every_picture_is_like_every_other(photos: list[Image.Image]) -> None:
    many = np.repeat(look(photos[0])[None], 3000, axis=0)
    assert len(np.unique(linked(3000, near_pairs(many)))) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip_crf_03_height_0864.png", ["clip_crf_03_height", "clip_crf_03", "clip_crf", "clip"]),
        ("I01_01_1.bmp", ["i01_01", "i01", "i"]),
        ("scene(3).jpg", ["scene"]),
        ("night-Blur2.png", ["night-blur", "night"]),
        ("clip/0001.png", ["clip/"]),
        ("0001.png", []),
        ("portrait.png", []),
    ],
)
def test_what_a_picture_may_be_called_after(name: str, expected: list[str]) -> None:
    assert stems(name) == expected


def panned(photo: Image.Image, steps: int) -> list[Image.Image]:
    """Stills of a camera that turns: each shows a few per cent that the one before it did not."""
    width, height = photo.size
    step = round(0.06 * width)
    return [photo.crop((x, 0, x + round(0.8 * width), height)) for x in range(0, step * steps, step)]


def test_series_are_joined_where_their_pictures_say_so(photos: list[Image.Image]) -> None:
    names, looks = [], []
    for number, photo in enumerate(photos[:6]):
        for step, still in enumerate(panned(photo, 4)):
            names.append(f"video{number}_frame_{step}.png")
            looks.append(look(still))
    for number, photo in enumerate(photos[9:]):
        names.append(f"x{number}.png")
        looks.append(look(photo))
    groups = linked(len(names), series_pairs(names, np.stack(looks), NONE))
    joined = [len(np.unique(groups[start : start + 4])) == 1 for start in range(0, 24, 4)]
    assert sum(joined) >= 5, joined
    assert (groups[24:] == np.arange(24, 60)).all()


def test_qualities_of_one_source_are_joined_by_their_names_alone(photos: list[Image.Image]) -> None:
    made = [(number, quality) for number in range(len(photos)) for quality in (10, 40, 80)]
    names = [
        f"clip{chr(97 + number % 26)}{number // 26}_crf_{quality}_height_0{quality}.jpg" for number, quality in made
    ]
    order = np.argsort(names)
    looks = np.stack([look(encoded(photos[number], quality=quality)) for number, quality in made])[order]
    groups = linked(len(names), series_pairs([names[row] for row in order], looks, NONE))
    assert len(np.unique(groups)) == len(photos)


def test_scenes_with_two_pictures_each_are_not_all_of_one_series(photos: list[Image.Image]) -> None:
    names = [f"night({number:02}).jpg" for number in range(40)] + [f"x{number}.jpg" for number in range(45)]
    made = [look(photo) for photo in photos[20:40] for photo in (photo, encoded(photo, quality=40))]
    grey = np.stack(made + [look(photo) for photo in photos])
    assert series_pairs(names, grey, near_pairs(grey[:40])).tolist() == []


def test_a_numbered_set_of_different_photographs_is_no_series(photos: list[Image.Image]) -> None:
    names = [f"ss0{1 + number % 3} ({1000 + number}).jpg" for number in range(len(photos))]
    assert series_pairs(names, np.stack([look(photo) for photo in photos]), NONE).tolist() == []


def test_links_are_found_once_and_kept(tmp_path: Path, photos: list[Image.Image]) -> None:
    pictures = {"b.png": photos[0], "a.png": photos[1], "c.jpg": encoded(photos[0], quality=50)}
    asked = []

    def read(name: str) -> Image.Image:
        asked.append(name)
        if name == "bad.png":
            raise ValueError("damaged")
        return pictures[name]

    names = [*pictures, "bad.png"]
    assert known_links(tmp_path, "set", names) is None
    links = open_links(tmp_path, "set", names, read, workers=1)
    assert (links.names, links.faults) == (sorted(names), {"bad.png": "damaged"})
    assert links.variants.tolist() == [[1, 3]]
    again = known_links(tmp_path, "set", names[::-1])
    assert again is not None
    assert (sorted(asked), again.variants.tolist()) == (sorted(names), [[1, 3]])
    assert known_links(tmp_path, "changed", names) is None
    for order in (names, names[::-1]):
        groups = dict(zip(order, group_by(order, np.arange(4), links), strict=True))
        assert groups["b.png"] == groups["c.jpg"]
        assert len(set(groups.values())) == 3


def test_groups_go_through_a_file_and_come_back(tmp_path: Path) -> None:
    names = ["b.png", "007", "a,1.png", "NA"]
    groups = np.array([0, 1, 0, 3])
    (tmp_path / "groups.csv").write_text(groups_to_csv(names, groups))
    assert (tmp_path / "groups.csv").read_text().splitlines()[1:] == [
        "007,007", "NA,NA", '"a,1.png","a,1.png"', 'b.png,"a,1.png"',
    ]  # fmt: skip
    assert groups_from_file(tmp_path / "groups.csv", names).tolist() == groups.tolist()
    assert pairs_of(groups).tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "iqa audit writes one"),
        ("name,group\na,1\n", "lacks columns"),
        ("image,group\na,1\na,2\nb,1\n", "two groups"),
        ("image,group\na,1\nb,\n", r"(?s)lacks groups of 1 of 2 pictures.*\bb\b"),
    ],
)
def test_a_file_of_groups_that_cannot_be_used_is_told(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        groups_from_file(tmp_path / "groups.csv", ["a", "b"])
