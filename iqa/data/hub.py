"""Data sets through Hugging Face `datasets`: from the hub, or from a local folder."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from iqa.config_data import DataConfig
from iqa.data.columns import SYNONYMS, beside_root, find_columns, raw_table, score_scale
from iqa.data.pictures import read_rgb
from iqa.data.rawset import RawSet
from iqa.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

HUB_SECONDS = 5


@dataclass(frozen=True)
class HubPlace:
    """Where a data set is loaded from, and how messages speak of it.

    Attributes:
        dataset: its name in `data.dataset`.
        title: what people call it.
        name: on the hub; None if it is only local.
        root: a local folder, which is used instead of the hub; or None.
        expected: what has to be there.
        instead: what else the user can do without it, or "".
    """

    dataset: str
    title: str
    name: str | None
    root: Path | None
    expected: str
    instead: str = ""

    @property
    def fingerprint(self) -> str:
        """Text that changes with the files of a local folder; on the hub, the set's name."""
        if not self.root:
            return f"{self.dataset}:{self.name}"
        stats = [(path.name, path.stat()) for path in sorted(self.root.rglob("*")) if path.is_file()]
        text = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return f"{self.dataset}:{hashlib.sha256(text.encode()).hexdigest()}"

    def check_folder(self) -> None:
        """Refuse a `root` that is no folder (UserError)."""
        if self.root and not self.root.is_dir():
            raise UserError(
                "data.root is no folder", got=self.root, expected=f"a local copy of {self.title}: {self.expected}"
            )

    def load(self) -> Mapping[str, Dataset]:
        """The splits by name.

        Raises:
            UserError: no folder, no hub, or no data set there.
        """
        self.check_folder()
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"dataset '{self.dataset}' needs the package datasets", fix="pip install datasets"
            ) from error
        datasets.utils.logging.disable_progress_bar()
        if self.root is None:
            self._check_hub(Path(datasets.config.HF_DATASETS_CACHE))
        try:
            if self.root and any((self.root / name).is_file() for name in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(self.root))
            else:
                found = datasets.load_dataset(str(self.root or self.name))
        except Exception as error:
            # Broken files, missing columns and lost connections arrive as a dozen unrelated types.
            raise UserError(
                f"{self.title} cannot be loaded from {self.root or 'the Hugging Face hub'}",
                got=f"{type(error).__name__}: {error}".splitlines()[0],
                expected=self.expected,
                fix="set data.root to a local copy",
            ) from error
        return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)

    def _check_hub(self, cache: Path) -> None:
        """Fail at once where the hub cannot be reached: `load_dataset` would retry for half a minute first."""
        from huggingface_hub import constants, get_session

        if (cache / str(self.name).replace("/", "___")).is_dir():
            return
        offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
        try:
            if offline:
                raise OSError("HF_HUB_OFFLINE is set")
            get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
        except Exception as error:
            raise UserError(
                f"the Hugging Face hub cannot be reached and {self.title} is not in its local cache",
                got=error,
                fix=f"set data.root to a local copy of {self.title}" + (f", or {self.instead}" if self.instead else ""),
            ) from error


@dataclass(frozen=True)
class HubSet:
    """A scored set out of `datasets`.

    Attributes:
        raw: its table.
        fingerprint: text that changes with the files of a local folder.
        read: decodes a picture (RGB) by the table's name for it, where pictures lie inside the data set's own
            files; None where they are files below `raw.image_root`.
    """

    raw: RawSet
    fingerprint: str
    read: Callable[[str], Image.Image] | None


def open_huggingface(data: DataConfig) -> HubSet:
    """The scored set in `data.root` or under `data.hub_name`.

    Pictures are a column of pictures (`datasets.Image`), named "<split>/<row>" unless they are files in
    `data.root`; or a column of file names below `data.image_root`, else `data.root`. The set's own splits are
    taken as they are named, unless `data.columns.split` says otherwise.

    Raises:
        UserError: the set cannot be loaded, or a column cannot be told.
    """
    root = Path(data.root).expanduser() if data.root else None
    title = str(root or data.hub_name)
    place = HubPlace("huggingface", title, data.hub_name, root, "a column of pictures and one of scores")
    splits = place.load()
    pictures = _picture_columns(splits)
    official = data.columns.split is None and len(splits) > 1
    data = _settle_columns(data, pictures, official)
    frame = pd.concat([_cells(part, split, pictures) for split, part in splits.items()], ignore_index=True)
    image = frame.iloc[:, find_columns(frame, data, title)["image"]].name
    image_root, read = root or Path(title), None
    if image not in pictures:
        if not (data.image_root or root):
            raise UserError(f"{title} has names of pictures alone", fix="set data.image_root to the pictures' folder")
        image_root = beside_root(data, data.image_root or "")
    elif root and (paths := _own_files(splits, image, root)) is not None:
        frame[image] = paths
    else:
        read = _Embedded(splits, image, root).read
    table = raw_table(frame, data, title)
    if official:
        names = [SYNONYMS.get(split.lower(), "") for split, part in splits.items() for _ in range(len(part))]
        table["split"] = pd.Series(names, dtype=object)
    return HubSet(RawSet(table, image_root, score_scale(table["score"], data), ()), place.fingerprint, read)


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
        split, _, row = name.rpartition("/")
        with self._lock:  # arrow rows are read from one file handle
            cell = self._parts[split][int(row)][self._column] or {}
        if cell.get("bytes"):
            return read_rgb(io.BytesIO(cell["bytes"]))
        path = cell.get("path")
        if not path:
            raise ValueError("no picture")
        if not any(_below(path, folder) for folder in self._folders):
            raise ValueError("outside the data set")
        return read_rgb(Path(path))


def _below(path: str, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
