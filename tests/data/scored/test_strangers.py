"""Files that are no tables: each is told by its bytes, with the one thing to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from iqa.data.scored.tables import read_table
from iqa.errors import UserError

ROWS = [{"image": "a.jpg", "mos": 1}, {"image": "b.jpg", "mos": 2}]
CSV = b"image,mos\na.jpg,1\nb.jpg,2\n"


def made(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)

    return made(write)


@pytest.mark.parametrize(
    ("data", "what", "fix"),
    [
        (pickle.dumps(ROWS), "pickled", "if you trust it"),
        (gzip.compress(CSV, mtime=0), "gzip", "unpack"),
        (bz2.compress(CSV), "bzip2", "unpack"),
        (lzma.compress(CSV), "xz", "unpack"),
        (zipped({"scores.csv": CSV}), "zip", "unpack"),
        (made(lambda file: scipy.io.savemat(file, {"mos": [1, 2]})), "MATLAB", "scipy.io.loadmat"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "h5py"),
        (made(lambda file: np.save(file, [1, 2])), "NumPy", "to_csv"),
        (made(lambda file: np.savez(file, mos=[1, 2])), "npz", "to_csv"),
        (made(lambda file: pd.DataFrame(ROWS).to_feather(file)), "Arrow", "read_feather"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel", ".xlsx"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}), ".ods", ".xlsx"),
        (zipped({"xl/workbook.bin": b"?"}), ".xlsb", ".xlsx"),
        (zipped({"word/document.xml": b"?"}), "a document", "CSV"),
        (pd.DataFrame(ROWS).to_html().encode(), "HTML", "CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "LFS", "git lfs pull"),
        (made(lambda file: Image.new("RGB", (8, 8)).save(file, "PNG")), "a picture", "table"),
    ],
)
@pytest.mark.parametrize("name", ["scores.csv", "scores.xlsx", "scores.xls", "scores"])
def test_a_stranger_is_told_by_its_bytes(tmp_path: Path, name: str, data: bytes, what: str, fix: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match="no table") as caught:
        read_table(path)
    lines = {line.strip().partition(": ")[0]: line for line in str(caught.value).split("\n")}
    assert what in lines["got"]
    assert fix in lines["fix"]
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "first", ["[1].png", "{a}.png", "BZhang.png", "PKing.png", "GIF8.png", "%PDF.png", "MATLAB 1.png"]
)
def test_names_that_begin_like_one_are_names(tmp_path: Path, first: str) -> None:
    (tmp_path / "scores.csv").write_text(f"{first},1.5\nb.png,2\n")
    assert read_table(tmp_path / "scores.csv")[0].tolist() == [first, "b.png"]
