"""The files of published sets that are more than one plain table: MATLAB's, a workbook of sheets, several parts.

A reader takes the path that was found and gives a table with the columns that its form in `catalog` names,
and all files that it was read from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iqa.data.scored.columns import text
from iqa.data.scored.presets.layouts import find
from iqa.data.scored.tables import read_table
from iqa.errors import UserError

Read = tuple[pd.DataFrame, tuple[Path, ...]]

#: LIVE numbers its pictures through five folders; dmos.mat holds them all in this order.
LIVE_FOLDERS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
#: The parts of LIVE's multiply distorted set, and the folder of pictures in each.
LIVEMD_PARTS = {"Part 1": "blurjpeg", "Part 2": "blurnoise"}
#: What CSIQ's workbook calls the distortions, and its file names do.
CSIQ_TYPES = {"noise": "AWGN", "blur": "BLUR", "jpeg": "JPEG", "jpeg 2000": "jpeg2000"}


def plain(path: Path) -> Read:
    """One table with or without a header."""
    return read_table(path), (path,)


def biq2021(path: Path) -> Read:
    """The training table, and the test table where it lies beside it; only then the split is known."""
    test = find(path.parent, ["Test (Images and MOS).csv"])
    train = read_table(path)
    if test is None:
        return train.assign(split=""), (path,)
    return pd.concat([train.assign(split="train"), read_table(test).assign(split="test")]), (path, test)


def pipal(path: Path) -> Read:
    """A folder of header-less tables, one for each reference."""
    files = tuple(sorted(path.glob("*.txt")))
    if not files:
        raise UserError("the folder of tables is empty", got=path, expected="A0001.txt and so on")
    return pd.concat([read_table(file, header=False) for file in files]), files


def csiq(path: Path) -> Read:
    """The sheet 'all_by_image' of the workbook, whose table starts some rows down and some columns in."""
    try:
        sheet = pd.read_excel(path, sheet_name="all_by_image", header=None, dtype=object, engine="openpyxl")
    except ImportError as error:
        raise UserError("xlsx tables need the package openpyxl", fix="pip install openpyxl") from error
    except Exception as error:
        # A damaged workbook surfaces as an error of zipfile, xml, or a missing key.
        raise UserError(
            f"{path} cannot be read", got=error, expected="the workbook with its sheet all_by_image"
        ) from error
    tops = [row for row, cells in enumerate(sheet.to_numpy()) if {"image", "dst_type", "dst_lev", "dmos"} <= {*cells}]
    if not tops:
        raise UserError(f"{path} has another form", expected="columns image, dst_type, dst_lev, dmos in all_by_image")
    table = sheet.iloc[tops[0] + 1 :].set_axis(sheet.iloc[tops[0]], axis=1).dropna(subset=["image", "dmos"])
    parts = zip(*(text(table[column]) for column in ("image", "dst_type", "dst_lev")), strict=True)
    names = [f"{image}.{CSIQ_TYPES.get(kind, kind)}.{level}.png" for image, kind, level in parts]
    return pd.DataFrame({"image": names, "dmos": list(table["dmos"])}), (path,)


def live(path: Path) -> Read:
    """dmos.mat and refnames_all.mat beside it; the copies of references among the pictures are left out."""
    files = (path, _beside(path, "refnames_all.mat"))
    dmos, orgs = _arrays(path, "dmos", "orgs")
    (references,) = _arrays(files[1], "refnames_all")
    names = [f"{folder}/img{n}.bmp" for folder, count in LIVE_FOLDERS.items() for n in range(1, count + 1)]
    _same_length(path, names, dmos, orgs, references)
    table = pd.DataFrame({"image": names, "dmos": dmos, "reference": [f"refimgs/{name}" for name in references]})
    return table[orgs != 1], files


def livemd(path: Path) -> Read:
    """Scores.mat and Imagelists.mat in both parts; `path` is that of the first."""
    tables, files = [], []
    for part, folder in LIVEMD_PARTS.items():
        scores = _beside(path.parent, f"{part}/Scores.mat")
        files += [scores, _beside(scores, "Imagelists.mat")]
        (dmos,) = _arrays(scores, "DMOSscores")
        (images,) = _arrays(files[-1], "distimgs")
        _same_length(scores, dmos, images)
        tables.append(pd.DataFrame({"image": [f"{part}/{folder}/{name}" for name in images], "dmos": dmos}))
    return pd.concat(tables), tuple(files)


def clive(path: Path) -> Read:
    """AllMOS_release.mat and the names beside it in AllImages_release.mat."""
    files = (path, _beside(path, "AllImages_release.mat"))
    (mos,) = _arrays(path, "AllMOS_release")
    (images,) = _arrays(files[1], "AllImages_release")
    _same_length(path, mos, images)
    return pd.DataFrame({"image": images, "mos": mos}), files


def _arrays(path: Path, *names: str) -> list[Any]:
    """Arrays of a MATLAB file, flat, cells of text as text."""
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=names, squeeze_me=True)
    except Exception as error:
        # A damaged file surfaces as one of many types, by where it is damaged.
        raise UserError(f"{path} cannot be read as a MATLAB file", got=f"{type(error).__name__}: {error}") from error
    missing = [name for name in names if name not in content]
    if missing:
        raise UserError(f"{path} has another form", got=f"no {', '.join(missing)}", expected=", ".join(names))
    return [np.ravel(content[name]) for name in names]


def _beside(path: Path, name: str) -> Path:
    found = find(path.parent, [name])
    if found is None:
        raise UserError(f"{name} is missing", got=path, expected=f"{name} in {path.parent}", fix="unpack the whole set")
    return found


def _same_length(path: Path, *columns: Any) -> None:
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise UserError(f"{path} and the names of its pictures differ in number", got=lengths, expected="one for each")
