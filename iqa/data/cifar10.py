"""CIFAR-10 through Hugging Face `datasets`: from the hub, or from a local copy."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from iqa.config_data import DataConfig
from iqa.data.clean import CleanSource
from iqa.data.pictures import as_rgb
from iqa.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

HUB_NAME = "uoft-cs/cifar10"
#: Share of the train split kept for validation; test pictures are the set's own.
VAL_SHARE = 0.1
HUB_SECONDS = 5


class Cifar10Source(CleanSource):
    """CIFAR-10 pictures, each its own content, named "cifar10/train/123" by split and row."""

    crops = False

    def __init__(self, data: DataConfig):
        self.picture_size = data.picture_size or 32
        self._seed = data.seed
        self._root = Path(data.root).expanduser() if data.root else None
        self._lock = threading.Lock()
        if self._root and not self._root.is_dir():
            raise UserError(
                "data.root is no folder",
                got=self._root,
                expected="a local copy of CIFAR-10 (parquet files with columns img, label)",
            )

    @property
    def fingerprint(self) -> str:
        if not self._root:
            return f"cifar10:{HUB_NAME}"
        stats = [(path.name, path.stat()) for path in sorted(self._root.rglob("*")) if path.is_file()]
        text = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return f"cifar10:{hashlib.sha256(text.encode()).hexdigest()}"

    def contents(self) -> Mapping[str, Sequence[str]]:
        rows = {name: len(dataset) for name, dataset in self._datasets.items()}
        train = np.random.default_rng([self._seed, 3]).permutation(rows["train"])
        test = np.random.default_rng([self._seed, 4]).permutation(rows["test"])
        val = round(VAL_SHARE * len(train))
        return {
            "val": [f"cifar10/train/{row}" for row in train[:val]],
            "train": [f"cifar10/train/{row}" for row in train[val:]],
            "test": [f"cifar10/test/{row}" for row in test],
        }

    def read(self, image: str) -> np.ndarray:
        _, split, row = image.split("/")
        try:
            with self._lock:  # arrow rows are read from one file handle
                picture = self._datasets[split][int(row)]["img"]
            picture = as_rgb(picture)
        except (OSError, SyntaxError) as error:
            raise ValueError(str(error)) from error
        side = self.picture_size
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        return np.asarray(picture)

    @cached_property
    def _datasets(self) -> dict[str, Dataset]:
        """The two splits, checked for what is read from them."""
        found = _load(self._root)
        for split in ("train", "test"):
            if split not in found or "img" not in found[split].column_names or not len(found[split]):
                raise UserError(
                    f"data.root {self._root or HUB_NAME} is no CIFAR-10",
                    got={name: part.column_names for name, part in found.items()},
                    expected="splits train and test with a column img",
                )
        return {split: found[split] for split in ("train", "test")}


def _load(root: Path | None) -> DatasetDict:
    try:
        import datasets
    except ImportError as error:
        raise UserError("dataset 'cifar10' needs the package datasets", fix="pip install datasets") from error
    datasets.utils.logging.disable_progress_bar()
    if root is None:
        _check_hub(Path(datasets.config.HF_DATASETS_CACHE))
    try:
        return datasets.load_dataset(str(root or HUB_NAME))
    except Exception as error:
        # Broken files, missing columns and lost connections arrive as a dozen unrelated types.
        raise UserError(
            f"CIFAR-10 cannot be loaded from {root or 'the Hugging Face hub'}",
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            expected="parquet files of a train and a test split with columns img, label",
            fix="set data.root to a local copy",
        ) from error


def _check_hub(cache: Path) -> None:
    """Fail at once where the hub cannot be reached: `load_dataset` would retry for half a minute first."""
    from huggingface_hub import constants, get_session

    if (cache / HUB_NAME.replace("/", "___")).is_dir():
        return
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set")
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:
        raise UserError(
            "the Hugging Face hub cannot be reached and CIFAR-10 is not in its local cache",
            got=error,
            fix="set data.root to a local copy of CIFAR-10, or data.dataset to photos or folder",
        ) from error
