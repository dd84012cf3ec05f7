"""Valid files of every kind, made once, for cases to damage."""

from __future__ import annotations

import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tiny_model import picture, write_experiment

from iqa.api.evaluate import judge_experiment
from iqa.config.reading import build_config
from iqa.scoring import PictureScorer, load_scorer
from iqa.training.checkpoints import BEST, ExperimentFolder
from iqa.training.session import Session

SUFFIXES = ("png", "jpg", "webp", "gif", "tif", "bmp")
TABLES = ("csv", "tsv", "txt", "json", "jsonl", "parquet", "xlsx")


class Workshop:
    """A folder with pictures, a trained and tested experiment, and the bytes of valid files.

    Attributes:
        root: where all of it is.
        place: below it, where a case may work; what is beside it must stay as it is.
        pictures: a folder with 12 pictures, a folder and links that are named like some, and one that leads out.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.pictures = root, root / "place", root / "place" / "pictures"
        self.pictures.mkdir(parents=True)
        self.names = [f"{number}.png" for number in range(12)]
        for number, name in enumerate(self.names):
            picture(number, 40, 30).save(self.pictures / name)
        (root / "outside.png").write_bytes((self.pictures / "0.png").read_bytes())
        (self.pictures / "folder.png").mkdir()
        (self.pictures / "loop.png").symlink_to("loop.png")
        (self.pictures / "out.png").symlink_to("/etc/hostname")

    def picture_files(self) -> list[bytes]:
        """A small picture in each format, in several modes."""
        base = picture(3, 24, 16)
        modes = {"png": ("RGB", "RGBA", "P", "L", "I;16", "1"), "gif": ("P", "L"), "tif": ("RGB", "L", "RGBA", "CMYK")}
        files = []
        for suffix in SUFFIXES:
            for mode in modes.get(suffix, ("RGB",)):
                made = Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 257) if mode == "I;16" else None
                files.append(encoded(made or base.convert(mode), suffix))
        exif = Image.Exif()
        exif[0x0112] = 6
        files += [encoded(base, "jpg", exif=exif), encoded(base, "jpg", progressive=True)]
        files += [encoded(base, "tif", compression=each) for each in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
        files.append(encoded(base, "gif", save_all=True, append_images=[base.rotate(90), base.rotate(180)]))
        files.append(encoded(base, "webp", lossless=True))
        return files

    def table_frame(self) -> pd.DataFrame:
        scores = [round(1 + 0.3 * number, 2) for number in range(12)]
        return pd.DataFrame({"image": self.names, "mos": scores, "scene": [f"s{number // 2}" for number in range(12)]})

    @cached_property
    def trained(self) -> Path:
        """A tiny experiment, trained and tested."""
        data = {"dataset": "photos", "train_samples": 40, "val_samples": 20, "test_samples": 20, "batch_size": 20}
        data |= {"num_workers": 0, "picture_size": 48, "image_size": 48, "cache_dir": str(self.root / "cache")}
        model = {"backbone": "test_resnet", "pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2}
        config = build_config(
            {
                "experiment_name": "tiny",
                "data": data,
                "model": {**model, "mixture": {"dim": 2}},
                "training": {"epochs": 2, "device": "cpu"},
                "tracking": {"enabled": False},
            }
        )
        folder = ExperimentFolder(self.root / "experiments" / "tiny")
        session = Session(config, folder, progress=False)
        with session.claimed():
            list(session.run())
        judge_experiment(folder, config, BEST, skip_tsne=True)
        return folder.path

    def small_model(self) -> tuple[Path, PictureScorer]:
        """A checkpoint, and what scores by it."""
        folder = write_experiment(self.root / "small")
        return folder / BEST, load_scorer(folder, "cpu")


def encoded(image: Image.Image, suffix: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, Image.registered_extensions()[f".{suffix}"], **options)
    return file.getvalue()


def table_bytes(frame: pd.DataFrame, suffix: str) -> bytes:
    """A table as a file of this kind; what the kind cannot hold is held as text."""
    plain = frame.map(lambda cell: cell.encode(errors="replace").decode() if isinstance(cell, str) else cell)
    if suffix == "json":
        return json.dumps(frame.to_dict("records"), default=str).encode()
    if suffix == "jsonl":
        return "\n".join(json.dumps(row, default=str) for row in frame.to_dict("records")).encode()
    file = io.BytesIO()
    if suffix == "parquet":
        plain.astype({name: str for name in plain.columns if plain[name].map(type).nunique() > 1}).to_parquet(file)
    elif suffix == "xlsx":
        plain.map(lambda cell: "".join(filter(str.isprintable, cell)) if isinstance(cell, str) else cell).to_excel(
            file, index=False
        )
    else:
        sign = {"csv": ",", "tsv": "\t", "txt": " "}[suffix]
        return str(plain.to_csv(index=False, sep=sign)).encode()
    return file.getvalue()
