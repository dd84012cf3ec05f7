"""CIFAR-10 through Hugging Face `datasets`: from the hub, or from a local copy."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.store.hub import HubPlace
from iqa.data.store.pictures import picture_digest, read_rgb
from iqa.data.synthetic.clean import CleanSource
from iqa.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

HUB_NAME = "uoft-cs/cifar10"
#: Share of the train split kept for validation; test pictures are the set's own.
VAL_SHARE = 0.1


class Cifar10Source(CleanSource):
    """CIFAR-10 pictures, each its own content, named "cifar10/train/123" by split and row."""

    crops = False

    def __init__(self, data: DataConfig):
        self.picture_size = data.picture_size or 32
        self._seed = data.seed
        self.known_by = {}
        root = Path(data.root).expanduser() if data.root else None
        self._place = HubPlace(
            "cifar10",
            "CIFAR-10",
            HUB_NAME,
            root,
            expected="parquet files of a train and a test split with columns img, label",
            instead="data.dataset to photos or folder",
        )
        self._place.check_folder()
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return self._place.fingerprint

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
                content = self._datasets[split][int(row)]["img"]["bytes"]
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        picture = read_rgb(io.BytesIO(content or b""))
        self.known_by[image] = picture_digest(picture)
        side = self.picture_size
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        return np.asarray(picture)

    @cached_property
    def _datasets(self) -> dict[str, Dataset]:
        """The two splits, checked for what is read from them."""
        found = self._place.load()
        for split in ("train", "test"):
            if split not in found or "img" not in found[split].column_names or not len(found[split]):
                raise UserError(
                    f"data.root {self._place.root or HUB_NAME} is no CIFAR-10",
                    got={name: part.column_names for name, part in found.items()},
                    expected="splits train and test with a column img",
                )
        from datasets import Image as ImageFeature

        # Undecoded: what is in a picture is opened in one place only.
        return {split: found[split].cast_column("img", ImageFeature(decode=False)) for split in ("train", "test")}
