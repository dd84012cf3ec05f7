"""Files that people take for tables of scores: what they are, and the one thing to do about each."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from iqa.errors import UserError

_TO_CSV = "python -c \"import pandas; pandas.{read}.to_csv('{stem}.csv', index=False)\""
_UNPACK = "unpack it, and name the table that comes out"
#: First bytes, what they are the beginning of, and what to do.
_MAGIC = (
    (b"\xd0\xcf\x11\xe0", "a workbook of old Excel (.xls), or one with a password",
     "save it as .xlsx, without password"),
    (b"\x1f\x8b", "compressed (gzip)", _UNPACK),
    (b"\xfd7zXZ", "compressed (xz)", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed (zstandard)", _UNPACK),
    (b"7z\xbc\xaf", "an archive (7z)", _UNPACK),
    (b"Rar!\x1a", "an archive (rar)", _UNPACK),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file",
     "write its arrays as a table: scipy.io.loadmat('{name}') holds them by name; "
     "pandas.DataFrame({{'image': ..., 'mos': ...}}).to_csv('{stem}.csv', index=False)"),
    (b"\x89HDF", "HDF5, or a MATLAB file of version 7.3",
     "write its arrays as a table: h5py.File('{name}') holds them by name; "
     "pandas.DataFrame({{'image': ..., 'mos': ...}}).to_csv('{stem}.csv', index=False)"),
    (b"\x93NUMPY", "an array of NumPy",
     _TO_CSV.format(read="DataFrame(__import__('numpy').load('{name}'))", stem="{stem}")),
    (b"ARROW1\0", "an Arrow file", _TO_CSV.format(read="read_feather('{name}')", stem="{stem}")),
    (b"<stata_dta", "a Stata file", _TO_CSV.format(read="read_stata('{name}')", stem="{stem}")),
    (b"$FL2@(#)", "an SPSS file", _TO_CSV.format(read="read_spss('{name}')", stem="{stem}")),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file", "git lfs pull brings the file"),
    (b"{\\rtf", "a text document (RTF)", "save the table as CSV in UTF-8, or as .xlsx"),
    (b"%PDF-", "a PDF", "save the table as CSV in UTF-8, or as .xlsx"),
    (b"\x89PNG", "a picture", "name the table of picture names and scores instead"),
    (b"\xff\xd8\xff", "a picture", "name the table of picture names and scores instead"),
    (b"GIF89a", "a picture", "name the table of picture names and scores instead"),
)  # fmt: skip
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_MARKUP = re.compile(r"\s*<(!doctype|html|head|table|meta|\?xml|workbook)", re.IGNORECASE)
_SAVE = "save the table as CSV in UTF-8, or as .xlsx"


def refuse_stranger(path: Path, data: bytes) -> None:
    """Refuse a file that is known to be no table, whatever its name.

    Raises:
        UserError: it is one; saying what it is and how it becomes a table.
    """
    found = _found(path, data)
    if found is not None:
        what, fix = found
        raise UserError(
            f"{path} is no table that can be read",
            got=what,
            expected="CSV, TSV or text in UTF-8, .parquet, .json or .xlsx",
            fix=fix.format(name=path.name, stem=path.stem + "_table" * (path.suffix.lower() == ".csv")),
        )


def _found(path: Path, data: bytes) -> tuple[str, str] | None:
    for start, what, fix in _MAGIC:
        if data.startswith(start):
            return what, fix
    if data[:3] == b"BZh" and data[4:10] == b"1AY&SY":
        return "compressed (bzip2)", _UNPACK
    if _PICKLE.match(data) and data.rstrip().endswith(b"."):
        read = _TO_CSV.format(read="read_pickle('{name}')", stem="{stem}")
        return "pickled objects of Python, which can start any program", f"if you trust it: {read}"
    if data.startswith(b"PK"):
        return _archive(data)
    text = data[:4096].decode("utf-8", "replace").lstrip("\ufeff")
    if _MARKUP.match(text):
        return "HTML or XML", _SAVE
    return None


def _archive(data: bytes) -> tuple[str, str] | None:
    """What a zip file is; None for a workbook, or one that is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            short = "mimetype" in names and archive.getinfo("mimetype").file_size < 1000
            kind = archive.read("mimetype").decode("ascii", "replace") if short else ""
    except Exception:  # damaged: the reader of workbooks says so
        return None
    if "spreadsheet" in kind:
        return "a workbook of OpenDocument (.ods)", "save it as .xlsx"
    if "xl/workbook.bin" in names:
        return "a binary workbook (.xlsb)", "save it as .xlsx"
    if any(name.startswith("xl/") for name in names):
        return None
    if any(name.endswith(".npy") for name in names):
        return (
            "arrays of NumPy (.npz)",
            "write its arrays as a table: numpy.load('{name}') holds them by name; "
            "pandas.DataFrame({{'image': ..., 'mos': ...}}).to_csv('{stem}.csv', index=False)",
        )
    if any(name.startswith("Index/") for name in names):
        return "a workbook of Numbers", "export it as CSV or .xlsx"
    return ("a document", _SAVE) if "word/document.xml" in names else ("an archive (zip)", _UNPACK)
