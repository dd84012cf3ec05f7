"""Opening picture files that nobody vouches for: what is read, what is refused, and that no file starts anything."""

from __future__ import annotations

import io
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from drawn import draw
from PIL import Image

from iqa.data.store.pictures import FORMATS, MOST_SCANS, SUFFIXES, check_header, picture_digest, read_rgb


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Little-endian EXIF of one directory: (tag, type, count, value of up to four bytes)."""
    body = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHI", *e[:3]) + e[3].ljust(4, b"\0") for e in entries
    )
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body + b"\0\0\0\0"


TURNED = (0x0112, 3, 1, struct.pack("<H", 6))


@pytest.fixture
def ramp() -> Image.Image:
    """Sixty by forty, darker to the left."""
    return Image.fromarray(np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))).convert("RGB")


@pytest.mark.parametrize("name", ["holiday.jpg", "holiday.png", "holiday.gif", "holiday"])
def test_postscript_is_refused_by_its_first_bytes_and_no_program_is_started(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **_: started.append(args))
    monkeypatch.setattr("os.system", lambda *args: started.append(args))
    path = tmp_path / name
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(made) (w) file closefile\n")
    for read in (check_header, read_rgb):
        with pytest.raises(ValueError, match="PostScript"):
            read(path)
    assert not started


@pytest.mark.parametrize("kind", ["EPS", "PCX", "TGA", "ICO", "PPM", "PSD", "JPEG2000"])
def test_formats_that_are_not_documented_are_not_opened_whatever_the_name(
    kind: str, tmp_path: Path, ramp: Image.Image
) -> None:
    path = tmp_path / "picture.png"
    if kind == "PSD":
        path.write_bytes(b"8BPS\0\1" + bytes(200))
    else:
        ramp.save(path, format=kind)
    with pytest.raises(ValueError, match="no picture"):
        read_rgb(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_documented_format_is_read(kind: str, ramp: Image.Image) -> None:
    file = io.BytesIO()
    ramp.save(file, format=kind)
    file.seek(0)
    seen = read_rgb(file)
    assert (seen.mode, seen.size, seen.info["frames"]) == ("RGB", (60, 40), 1)
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(ramp)).mean() < 8


def test_heic_is_read_where_pillow_heif_is_and_named_where_it_is_not(
    tmp_path: Path, ramp: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "phone.heic"
    heif.from_pillow(ramp).save(path)
    assert read_rgb(path).size == (60, 40)
    monkeypatch.setattr("iqa.data.store.pictures._formats", lambda: FORMATS)
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        read_rgb(path)


@pytest.mark.parametrize(
    "entry",
    [
        (0x011A, 2, 4, b"abc\0"),  # a resolution that is text
        (0x0100, 2, 4, b"abc\0"),  # a width that is text
        (0x011A, 5, 1, struct.pack("<I", 4000)),  # a value beyond the end
        (0x8769, 4, 1, struct.pack("<I", 8)),  # a directory that holds itself
        (0x0112, 2, 2, b"6\0"),  # an orientation that is text
        (0x0112, 3, 1, struct.pack("<H", 77)),  # one that does not exist
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pixels_are_decoded_whatever_the_exif_says(
    entry: tuple[int, int, int, bytes], kind: str, tmp_path: Path, ramp: Image.Image
) -> None:
    path = tmp_path / "odd"
    ramp.save(path, format=kind, exif=exif(entry))
    seen = read_rgb(path)
    assert sorted(seen.size) == [40, 60]


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path, ramp: Image.Image) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        ramp.save(tmp_path / kind, format=kind, exif=exif(TURNED))
        seen = np.asarray(read_rgb(tmp_path / kind).convert("L")).astype(int)
        assert seen.shape == (60, 40), kind
        assert seen[0].mean() < seen[-1].mean(), f"{kind}: what was left is now at the top"


@pytest.mark.parametrize("highest", [255, 1023, 4095])
def test_16_bit_pixels_whose_upper_bits_are_not_used_are_refused(highest: int, tmp_path: Path) -> None:
    values = np.linspace(0, highest, 2400).reshape(40, 60).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match=f"16-bit pixels that end at {highest}"):
        read_rgb(tmp_path / "grey.png")


def test_16_bit_pixels_of_full_range_are_scaled(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    assert np.abs(np.asarray(read_rgb(tmp_path / "grey.png"))[..., 0] - values / 257).max() <= 1


def test_whole_numbers_of_32_bits_have_no_known_range(tmp_path: Path) -> None:
    Image.fromarray(np.arange(2400, dtype=np.int32).reshape(40, 60)).save(tmp_path / "int32.tif")
    Image.fromarray(np.ones((40, 60), dtype=np.float32)).save(tmp_path / "float.tif")
    for name, reason in (("int32.tif", "32-bit"), ("float.tif", "floating-point")):
        with pytest.raises(ValueError, match=reason):
            read_rgb(tmp_path / name)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "AVIF"])
def test_of_several_frames_the_first_is_read_and_their_number_known(
    kind: str, tmp_path: Path, ramp: Image.Image
) -> None:
    others = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    ramp.save(tmp_path / "many", format=kind, save_all=True, append_images=others)
    seen = read_rgb(tmp_path / "many")
    assert seen.info["frames"] == 3
    assert np.asarray(seen)[:, 55].mean() > 200, "the ramp, no frame of one colour"


def test_limits_of_bytes_pixels_and_scans(tmp_path: Path, ramp: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2399)
    with pytest.raises(ValueError, match="60 x 40 pixels are more"):
        read_rgb(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2400)
    read_rgb(tmp_path / "a.png")
    monkeypatch.setattr("iqa.data.store.pictures.MOST_BYTES", 10)
    with pytest.raises(ValueError, match="bytes are more than the limit"):
        read_rgb(tmp_path / "a.png")
    monkeypatch.undo()
    file = io.BytesIO()
    ramp.save(file, format="JPEG", progressive=True)
    scan = file.getvalue()
    start = scan.rindex(b"\xff\xda")
    bomb = scan[:-2] + scan[start:-2] * (MOST_SCANS + 1) + scan[-2:]
    with pytest.raises(ValueError, match="scans, more than the limit"):
        read_rgb(io.BytesIO(bomb))


@pytest.mark.parametrize("content", [b"", b"GIF", b"%PDF-1.7", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_picture_says_so_in_a_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the words differ
        read_rgb(tmp_path / "a.jpg")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_digest_is_that_of_the_pixels(tmp_path: Path) -> None:
    picture = read_rgb(draw(tmp_path / "a.png", 1))
    picture.save(tmp_path / "copy.bmp")
    assert picture_digest(read_rgb(tmp_path / "copy.bmp")) == picture_digest(picture)
    assert picture_digest(read_rgb(draw(tmp_path / "b.png", 2))) != picture_digest(picture)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_a_value_error_or_a_picture(kind: str, ramp: Image.Image) -> None:
    random = np.random.default_rng(FORMATS.index(kind))
    file = io.BytesIO()
    ramp.save(file, format=kind, **({} if kind in ("BMP", "GIF") else {"exif": exif(TURNED)}))
    sound = np.frombuffer(file.getvalue(), dtype=np.uint8)
    read = 0
    for number in range(2000):
        bad = sound.copy()
        places = random.integers(len(bad), size=random.integers(1, 8))
        bad[places] = random.integers(256, size=len(places))
        end = random.integers(len(bad) // 2, len(bad)) if number % 4 == 0 else len(bad)
        with suppress(ValueError):
            assert read_rgb(io.BytesIO(bad[:end].tobytes())).mode == "RGB"
            read += 1
    assert 0 < read < 2000


def test_all_suffixes_are_lower_case_and_begin_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
