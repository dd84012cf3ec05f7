"""Small files that would unpack, decode or read to no end: refused in seconds, and in little memory."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from hostile.judging import judge
from hostile.workshop import Workshop, encoded
from iqa.data.scored.tables import open_table
from iqa.data.store.pictures import check_header, read_rgb
from iqa.errors import UserError
from iqa.model.backbone.weights import load_pretrained
from iqa.training.checkpoints import load_checkpoint

SECONDS = 8.0


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *others: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = zlib.compress(b"\0" * 10**7)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(others) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif(width: int, height: int, frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + (b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0") * frames + b";"


def tiff(side: int) -> bytes:
    content = bytearray(encoded(Image.new("L", (8, 8)), "tif"))
    place = struct.unpack("<I", content[4:8])[0]
    for number in range(struct.unpack("<H", content[place : place + 2])[0]):
        entry = place + 2 + 12 * number
        if struct.unpack("<H", content[entry : entry + 2])[0] in (256, 257):
            content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(content)


def webp(side: int) -> bytes:
    size = (side - 1).to_bytes(3, "little")
    body = (
        b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size + size + encoded(Image.new("RGB", (8, 8)), "webp")[12:]
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp(side: int) -> bytes:
    content = bytearray(encoded(Image.new("RGB", (8, 8)), "bmp"))
    content[18:26] = struct.pack("<ii", side, side)
    return bytes(content)


packed = zlib.compress(b"\0" * 3 * 10**8, 9)
PIXEL_BOMBS: dict[str, bytes] = {
    "png": png(60000, 60000),
    "gif": gif(60000, 60000, 1),
    "tiff": tiff(60000),
    "webp": webp(60000),
    "bmp": bmp(60000),
}
#: These may be read: what is large in them is not their pixels.
OTHERS: dict[str, bytes] = {
    "zTXt": png(64, 64, chunk(b"zTXt", b"a\0\0" + packed)),
    "iTXt": png(64, 64, chunk(b"iTXt", b"a\0\1\0\0\0" + packed)),
    "iCCP": png(64, 64, chunk(b"iCCP", b"a\0\0" + packed)),
    "many texts": png(64, 64, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 10**6))] * 500),
    "many frames": gif(1, 1, 100_000),
    "short": png(9000, 9000),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", [*PIXEL_BOMBS, *OTHERS])
def test_a_picture_that_would_fill_the_memory_is_refused(name: str, tmp_path: Path) -> None:
    content = PIXEL_BOMBS.get(name, OTHERS.get(name, b""))
    (tmp_path / "bomb.png").write_bytes(content)
    for work in (
        lambda: read_rgb(io.BytesIO(content)),
        lambda: read_rgb(tmp_path / "bomb.png"),
        lambda: check_header(tmp_path / "bomb.png"),
    ):
        outcome = judge(work, tmp_path, also=(ValueError,), limit=SECONDS)
        assert outcome.verdict == "refused" if name in PIXEL_BOMBS else outcome.verdict != "fault", outcome


def workbook(path: Path, unpacked: int, *, part: str = "xl/worksheets/sheet1.xml") -> None:
    """A workbook of which one part unpacks to so many bytes."""
    pd.DataFrame({"image": ["a.png"], "mos": [1.0]}).to_excel(path, index=False)
    with zipfile.ZipFile(path) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in parts.items():
            if name != part:
                bomb.writestr(name, content)
        with bomb.open(part, "w", force_zip64=True) as file:
            for _ in range(unpacked // 10**6):
                file.write(b" " * 10**6)


def test_a_workbook_that_unpacks_to_no_end_is_refused(tmp_path: Path) -> None:
    workbook(tmp_path / "bomb.xlsx", 10**8)
    outcome = judge(lambda: open_table(tmp_path / "bomb.xlsx"), tmp_path, limit=SECONDS)
    assert outcome.verdict == "refused"
    assert "unpacks to more than a table would" in outcome.said


def test_a_parquet_table_of_equal_cells_without_end_is_refused(tmp_path: Path) -> None:
    many = pa.chunked_array([pa.array(["a.png"] * 10**6)] * 60)
    parquet.write_table(pa.table({"image": many}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 10**6
    outcome = judge(lambda: open_table(tmp_path / "bomb.parquet"), tmp_path, limit=SECONDS)
    assert outcome.verdict == "refused", outcome


def test_a_packed_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 2, "model": {"a": torch.zeros(25_000_000)}}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as held,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in held.namelist():
            bomb.writestr(name, held.read(name))
    for work in (
        lambda: load_checkpoint(tmp_path / "bomb.pth"),
        lambda: load_pretrained(torch.nn.Linear(1, 1), "test_resnet", str(tmp_path / "bomb.pth")),
    ):
        with pytest.raises(UserError, match=r"(?s)cannot .*read.*unpacks to 100 MB"):
            work()


def test_a_config_that_asks_for_more_memory_than_there_is_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    from iqa.scoring import load_scorer

    checkpoint, _ = workshop.small_model()
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["model"]["hidden_dim"] = 10**10
    torch.save(content, tmp_path / "wide.pth")
    with pytest.raises(UserError, match="hidden_dim"):
        load_scorer(tmp_path / "wide.pth")
