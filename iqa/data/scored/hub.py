"""Scored sets through Hugging Face `datasets`: which of their columns are pictures, and how these are read."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.audit.twins.copies import alike
from iqa.data.scored.columns import SYNONYMS, beside_root, find_columns, raw_table, score_scale
from iqa.data.scored.locate import check_root
from iqa.data.scored.rawset import RawSet
from iqa.data.store.hub import HubPlace
from iqa.data.store.pictures import read_rgb
from iqa.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class HubSet:
    """A scored set out of `datasets`.

    Attributes:
        raw: its table.
        fingerprint: text that changes with the files of a local folder.
        read: decodes a picture (RGB) by the table's name for it, where pictures lie inside the data set's own
            files; None where they are files below `raw.image_root`.
        copies: for names of such pictures, a number that is the same for the same bytes.
    """

    raw: RawSet
    fingerprint: str
    read: Callable[[str], Image.Image] | None
    copies: Callable[[Sequence[str]], np.ndarray] | None = None


def open_huggingface(data: DataConfig) -> HubSet:
    """The scored set in `data.root` or under `data.hub_name`.

    Pictures are a column of pictures (`datasets.Image`), named "<split>/<row>" unless they are files in
    `data.root`; or a column of file names below `data.image_root`, else `data.root`. The set's own splits are
    taken as they are named, unless `data.columns.split` says otherwise.

    Raises:
        UserError: the set cannot be loaded, or a column cannot be told.
    """
    if data.ratings is not None:
        raise UserError(
            "data.ratings is for tables of your own",
            got=f"data.ratings '{data.ratings}' with data.dataset 'huggingface'",
            fix="write the ratings as a table, and set data.dataset to csv",
        )
    root = Path(data.root).expanduser() if data.root else None
    title = str(root or data.hub_name)
    place = HubPlace("huggingface", title, data.hub_name, root, "a column of pictures and one of scores")
    splits = place.load()
    pictures = _picture_columns(splits)
    official = data.columns.split is None and len(splits) > 1
    data = _settle_columns(data, pictures, official)
    frame = pd.concat([_cells(part, split, pictures) for split, part in splits.items()], ignore_index=True)
    image = frame.iloc[:, find_columns(frame, data, title)["image"]].name
    image_root, inside = root or Path(title), None
    if image not in pictures:
        if not (data.image_root or root):
            raise UserError(f"{title} has names of pictures alone", fix="set data.image_root to the pictures' folder")
        image_root = beside_root(data, data.image_root or "")
        check_root(image_root, "data.image_root", f"the folder that the picture names of {title} are relative to")
    elif root and (paths := _own_files(splits, image, root)) is not None:
        frame[image] = paths
    else:
        inside = _Embedded(splits, image, root)
    table, said = raw_table(frame, data, title)
    if official:
        names = [SYNONYMS.get(split.lower(), "") for split, part in splits.items() for _ in range(len(part))]
        table["split"] = pd.Series(names, dtype=object)
    said = f"{title}: {len(frame)} rows; {said}" + (", its own splits" if official else "")
    raw = RawSet(table, image_root, score_scale(table["score"], data), (), said)
    if inside is None:
        return HubSet(raw, place.fingerprint, None)
    return HubSet(raw, place.fingerprint, inside.read, inside.copies)


def _picture_columns(splits: Mapping[str, Dataset]) -> set[str]:
    from datasets import Image as ImageFeature

    parts = splits.values()
    return {name for part in parts for name, kind in part.features.items() if isinstance(kind, ImageFeature)}


def _settle_columns(data: DataConfig, pictures: set[str], official: bool) -> DataConfig:
    """The settings with what the set itself says: its only column of pictures, and its splits."""
    changes = {}
    if data.columns.image is None and len(pictures) == 1:
        changes["image"] = next(iter(pictures))
    if official:
        changes["split"] = ""
    return data.model_copy(update={"columns": data.columns.model_copy(update=changes)})


def _cells(part: Dataset, split: str, pictures: set[str]) -> pd.DataFrame:
    """The columns of a split that a table can hold; pictures as their names."""
    from datasets import ClassLabel, Value

    plain = [name for name, kind in part.features.items() if isinstance(kind, Value | ClassLabel)]
    cells = part.select_columns(plain).to_pandas() if plain else pd.DataFrame(index=range(len(part)))
    for name, kind in part.features.items():
        if name in pictures:
            cells[name] = [f"{split}/{row}" for row in range(len(part))]
        elif isinstance(kind, ClassLabel):
            words = dict(enumerate(kind.names))
            cells[name] = cells[name].map(words)
    return cells[[name for name in part.features if name in cells]]


def _own_files(splits: Mapping[str, Dataset], column: str, root: Path) -> list[str] | None:
    """The paths of all pictures, if they are files in the local folder rather than bytes in the table."""
    paths: list[str] = []
    for part in splits.values():
        for chunk in part.with_format("arrow")[:][column].chunks:
            if chunk.field("bytes").null_count < len(chunk):
                return None
            paths += [path or "" for path in chunk.field("path").to_pylist()]
    first = next(filter(None, paths), "/")
    return paths if not os.path.isabs(first) or _below(first, root) else None


class _Embedded:
    """Pictures inside the files of a data set."""

    def __init__(self, splits: Mapping[str, Dataset], column: str, root: Path | None) -> None:
        import datasets
        from huggingface_hub.constants import HF_HUB_CACHE

        undecoded = datasets.Image(decode=False)
        self._parts = {
            split: part.select_columns([column]).cast_column(column, undecoded) for split, part in splits.items()
        }
        self._column = column
        # Archives are unpacked into the cache.
        self._folders = [Path(datasets.config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE)]
        self._folders += [root] if root else []
        self._lock = threading.Lock()

    def read(self, name: str) -> Image.Image:
        """The picture "<split>/<row>" as RGB.

        Raises:
            ValueError: it cannot be decoded, or lies outside the data set.
        """
        cell = self._cell(name)
        if cell.get("bytes"):
            return read_rgb(io.BytesIO(cell["bytes"]))
        path = cell.get("path")
        if not path:
            raise ValueError("no picture")
        if not any(_below(path, folder) for folder in self._folders):
            raise ValueError("outside the data set")
        return read_rgb(Path(path))

    def copies(self, names: Sequence[str]) -> np.ndarray:
        """A number for each picture, the same for those with the same bytes in the table."""
        from pyarrow.compute import binary_length

        lengths: dict[str, int | None] = {}
        for split, part in self._parts.items():
            chunks = part.with_format("arrow")[:][self._column].chunks
            found = [length for chunk in chunks for length in binary_length(chunk.field("bytes")).to_pylist()]
            lengths |= {f"{split}/{row}": length for row, length in enumerate(found)}
        return alike(
            len(names),
            lambda place: lengths[names[place]] or names[place],
            lambda place: hashlib.blake2b(self._cell(names[place])["bytes"]).digest(),
        )

    def _cell(self, name: str) -> Mapping[str, Any]:
        split, _, row = name.rpartition("/")
        with self._lock:  # arrow rows are read from one file handle
            return self._parts[split][int(row)][self._column] or {}


def _below(path: str, folder: Path) -> bool:
    """Whether a path leads into a folder; links below it were put there by whoever owns it."""
    written = Path(os.path.normpath(os.path.abspath(path))).is_relative_to(os.path.abspath(folder))
    return written or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
