"""Are pictures prepared quicker than by doing the same one picture at a time?

    python benchmarks/speed_data.py [--quick]        # 4 minutes on two cores

distort   CIFAR-10 at 32 px and crops of Kodak's photographs at 224 px, distorted and scored by
          `iqa.data.synthetic.prepare` into an empty cache. One at a time: for the same rows of the same manifest,
          decode the clean picture with Pillow, distort it as a batch of one, score the pair with piq, and write all of
          them. The arithmetic of a kind is the project's own on both sides, so that only batches, decoding once and
          threads differ; the pixels come out alike. JPEG and JPEG 2000 are Pillow's codecs on both sides; Pillow's
          gaussian blur is left alone, as it passes boxes instead, which gives other pixels.
decode    BIQ2021's JPEG files and Kodak's PNG files to squares of 512 px in the cache (`iqa.data.store.squares`:
          threads and a checksum). One at a time: Pillow opens, converts and cuts. Both sync what they wrote to disk.
start     seconds until a `Session` hands out its first training batch, with an empty cache and once more. Imports come
          before and count in neither.

Contenders take turns; figures are medians with 95 % intervals over at most three rounds. Sets that are not there have
no rows.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.timing import LeftOut, Options, Row, Timing, in_turns
from helpers.trainings import BACKBONE, cifar10_here, weights_here, weights_note
from PIL import Image

from iqa.commands.cli import run_command
from iqa.config.data import DataConfig
from iqa.config.reading import build_config
from iqa.data.prepared import PixelStore, prepare
from iqa.data.store.pictures import read_rgb
from iqa.data.store.squares import open_squares
from iqa.data.store.views import ViewPolicy
from iqa.data.synthetic.clean import shrink, square_crop
from iqa.data.synthetic.distortions import distort
from iqa.data.synthetic.pseudo_mos import fidelity
from iqa.data.synthetic.sources import load_clean
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.session import Session

CPU = torch.device("cpu")
#: Training, validation and test pictures.
CIFAR10, KODAK, QUICK = (2000, 500, 500), (400, 50, 50), (20, 4, 4)
KODAK_SIDE, DECODED_SIDE = 224, 512
#: Files to decode; Kodak has 24, which come round again.
FILES, QUICK_FILES = 300, 12
#: A round of everything takes a minute or more.
MOST_ROUNDS = 3

Read = Callable[[str], np.ndarray]


def measure(options: Options) -> list[Row]:
    """The rows of all sets that are there."""
    rows = [*distorting(options), *decoding(options), *starting(options)]
    if not rows:
        raise LeftOut(f"needs cifar10/, kodak24/ or biq2021/ in {options.data}")
    return rows


class Distorting:
    """One synthetic set, prepared by the project and one picture at a time.

    Args:
        data: the set; every time it is prepared into a cache of its own in `folder`.
        read: a clean picture by its name in the manifest, decoded by Pillow.
    """

    def __init__(self, data: dict[str, Any], read: Read, folder: Path) -> None:
        self._data, self._read, self._folder = data, read, folder
        self._caches = 0
        self._file = folder / "one_by_one.npy"
        self.store = self.together()

    def together(self) -> PixelStore:
        self._caches += 1
        cache = {"cache_dir": str(self._folder / f"cache-{self._caches}")}
        return prepare(DataConfig.model_validate(self._data | cache), progress=False)

    def one_by_one(self) -> None:
        pictures, closeness = [], []
        for row in self.store.manifest.itertuples():
            clean = torch.from_numpy(self._read(row.image).copy()).permute(2, 0, 1)[None].contiguous()
            pictures.append(distort(clean, row.kind, row.level, [row.seed]))
            closeness.append(fidelity(clean, pictures[-1]))
        write(self._file, torch.cat(pictures).numpy())

    def alike(self) -> bool:
        """Whether both ways led to the same pixels."""
        return np.array_equal(np.load(self._file), self.store.images.numpy())


def distorting(options: Options) -> list[Row]:
    rows, kodak = [], options.data / "kodak24"
    if cifar10_here(options):
        data = {"dataset": "cifar10", "root": str(options.cifar10), **samples(options, CIFAR10)}
        read = load_clean(DataConfig.model_validate(data)).read
        rows += distorting_rows("CIFAR-10, 32 px", data, read, options)
    if kodak.is_dir():
        data = {"dataset": "folder", "root": str(kodak), "picture_size": KODAK_SIDE, **samples(options, KODAK)}
        rows += distorting_rows(f"Kodak, {KODAK_SIDE} px", data, partial(kodak_crop, kodak), options)
    return rows


def distorting_rows(name: str, data: dict[str, Any], read: Read, options: Options) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        both = Distorting(data, read, Path(folder))
        timed = in_turns({"ours": both.together, "single": both.one_by_one}, rounds(options), CPU)
        note = f"{len(both.store):,} pictures" + ("" if both.alike() else "; WRONG: other pixels")
    return compared(f"distorting and scoring {name}", len(both.store), timed, note)


def kodak_crop(folder: Path, image: str) -> np.ndarray:
    """A crop of a photograph that is decoded for it alone."""
    content, _, number = image.rpartition("#")
    photograph = shrink(Image.open(folder / content).convert("RGB"), KODAK_SIDE)
    return square_crop(photograph, KODAK_SIDE, content, int(number))


def decoding(options: Options) -> list[Row]:
    rows = []
    for name, folder in (("BIQ2021, JPEG", "biq2021/Images"), ("Kodak, PNG", "kodak24")):
        found = sorted(path for path in (options.data / folder).glob("*") if path.suffix.lower() in (".jpg", ".png"))
        if found:
            wanted = QUICK_FILES if options.quick else FILES
            files = [str(found[place % len(found)]) for place in range(wanted)]
            rows += decoding_rows(name, files, options)
    return rows


def decoding_rows(name: str, files: Sequence[str], options: Options) -> list[Row]:
    views = ViewPolicy(DECODED_SIDE)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:

        def together() -> None:
            cache = Path(tempfile.mkdtemp(dir=scratch))
            open_squares(cache, "decode", "", files, lambda file: read_rgb(Path(file)), views, progress=False)

        def one_by_one() -> None:
            squares = [views.cut(Image.open(file).convert("RGB")).transpose(0, 3, 1, 2) for file in files]
            write(Path(scratch) / "one_by_one.npy", np.concatenate(squares))

        timed = in_turns({"ours": together, "single": one_by_one}, rounds(options), CPU)
    return compared(f"decoding {name}", len(files), timed, f"{len(files)} files")


class Starting:
    """A training that begins again and again.

    Args:
        values: its config without a cache.
    """

    def __init__(self, values: dict[str, Any], folder: Path) -> None:
        self._values, self._folder, self._caches = values, folder, 0

    def first(self) -> None:
        """With an empty cache."""
        self._caches += 1
        self.second()

    def second(self) -> None:
        """With the cache as the last start left it."""
        cache = {"cache_dir": str(self._folder / f"cache-{self._caches}")}
        config = build_config({**self._values, "data": self._values["data"] | cache})
        session = Session(config, ExperimentFolder(self._folder / "experiment"), progress=False)
        next(iter(session.trainer.feed.training(0)))


def starting(options: Options) -> list[Row]:
    if not cifar10_here(options):
        return []
    data = {"dataset": "cifar10", "root": str(options.cifar10), **samples(options, CIFAR10)}
    training = {"device": str(options.device)}
    models = {
        "resnet18, random weights": {"backbone": "resnet18", "pretrained": False},
        f"frozen {BACKBONE}, {weights_note()}": {
            "backbone": BACKBONE, "pretrained": weights_here(), "freeze_backbone": True,
        },
    }  # fmt: skip
    rows = []
    for name, model in models.items():
        values = {"experiment_name": "speed_start", "data": data, "model": model, "training": training}
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            both = Starting(values, Path(folder))
            timed = in_turns({"first": both.first, "second": both.second}, rounds(options), options.device)
        first, second = timed["first"], timed["second"]
        rows += [
            Row("first start / second start", *first.over(second), "times", "", name),
            Row("second start, to the first batch", second.median, *second.interval(), "s", "", name),
        ]
    return rows


def compared(what: str, count: int, timed: dict[str, Timing], note: str) -> list[Row]:
    """How many times faster than one at a time, and pictures a second of both."""
    ratio = timed["single"].over(timed["ours"])
    speeds = {name: Timing(tuple(count / spent for spent in timing.seconds)) for name, timing in timed.items()}
    return [
        Row(what, *ratio, "times", "", note),
        Row(f"{what}: ours", speeds["ours"].median, *speeds["ours"].interval(), "pictures/s"),
        Row(f"{what}: one at a time", speeds["single"].median, *speeds["single"].interval(), "pictures/s"),
    ]


def samples(options: Options, full: tuple[int, int, int]) -> dict[str, int]:
    train, val, test = QUICK if options.quick else full
    return {"train_samples": train, "val_samples": val, "test_samples": test}


def rounds(options: Options) -> int:
    return min(options.rounds, MOST_ROUNDS)


def write(path: Path, array: np.ndarray) -> None:
    """Onto the disk itself, as the project's cache is."""
    with path.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
