"""Baselines that need no training of a network: subset means, BRISQUE, and ridge regression on frozen features."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from iqa import metrics
from iqa.files import atomic_write

BACKBONE = "tf_efficientnet_lite0"
#: Pictures that the backbone sees at once.
BATCH = 32

Vector = NDArray[np.float64]
#: A baseline's settings, and a regressor of scikit-learn with them.
Candidate = tuple[dict[str, float], Any]


@dataclass(frozen=True)
class Split:
    """One way of dividing the set, and what the baselines are allowed to spend on it.

    Attributes:
        pictures: the scored set; `read(image)` gives a picture as PIL RGB.
        table: its rows that take part, columns image, split, subset, score and content.
        side: side in pixels of the squares that pictures are squashed to.
        crop: side in pixels of the squares that IQA-PyTorch cuts for training.
        cache: folder for features, which do not depend on the split.
    """

    pictures: Any
    table: pd.DataFrame
    seed: int
    side: int
    crop: int
    epochs: int
    workers: int
    cache: Path

    def part(self, name: str) -> pd.DataFrame:
        return self.table[self.table["split"] == name]

    def scores(self, name: str) -> Vector:
        return self.part(name)["score"].to_numpy(np.float64)


@dataclass(frozen=True)
class Prediction:
    """What a baseline says: scores in 0-1, higher is better, in the order of `Split.part`.

    Attributes:
        fit_seconds: time to fit, without reading features from pictures.
        picture_ms: time to score one picture from its file; features: in one process.
        chosen: settings chosen on validation, or used.
    """

    val: Vector
    test: Vector
    fit_seconds: float
    picture_ms: float
    chosen: dict[str, Any] = field(default_factory=dict)


def subset_mean(split: Split) -> Prediction:
    """Every picture gets the mean score of its subset's training pictures: what knowing the source is worth."""
    train = split.part("train")
    means = train.groupby("subset")["score"].mean()
    val, test = (
        split.part(name)["subset"].map(means).fillna(train["score"].mean()).to_numpy(np.float64)
        for name in ("val", "test")
    )
    return Prediction(val, test, fit_seconds=0.0, picture_ms=0.0)


def brisque_released(split: Split) -> Prediction:
    """BRISQUE with the support vector regression that its authors trained on LIVE; 0 is best and 100 worst there.

    Its scores are turned by 1 - score / 100, so its raw error means little: read the one after the logistic.
    """
    from brisque import BRISQUE

    features = brisque_features(split)
    model = BRISQUE(url=False)

    def score(name: str) -> Vector:
        rows = features.of(split.part(name))
        return np.array([1 - model.calculate_image_quality_score(row) / 100 for row in rows])

    return Prediction(score("val"), score("test"), fit_seconds=0.0, picture_ms=features.picture_ms)


def brisque_retrained(split: Split) -> Prediction:
    """BRISQUE's 36 features and a support vector regression trained on this split, as papers report it."""
    grid = itertools.product((0.1, 1.0, 10.0, 100.0), (0.003, 0.01, 0.03, 0.1), (0.02, 0.1))
    return best_on_validation(
        (({"C": c, "gamma": gamma, "epsilon": e}, SVR(C=c, gamma=gamma, epsilon=e)) for c, gamma, e in grid),
        brisque_features(split),
        split,
    )


def ridge(split: Split) -> Prediction:
    """Ridge regression on the last layer's mean features of a frozen ImageNet network."""
    return best_on_validation(
        (({"alpha": float(alpha)}, Ridge(alpha=alpha)) for alpha in np.logspace(-1, 5, 13)),
        backbone_features(split),
        split,
    )


@dataclass(frozen=True)
class Features:
    """A row of numbers per picture, whatever the split."""

    by_image: dict[str, Vector]
    picture_ms: float

    def of(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return np.stack([self.by_image[image] for image in table["image"]])


def best_on_validation(candidates: Iterable[Candidate], features: Features, split: Split) -> Prediction:
    """The candidate with the highest SRCC on validation, fitted on training pictures only."""
    began = time.perf_counter()
    train, val, test = (features.of(split.part(name)) for name in ("train", "val", "test"))
    fitted = []
    for settings, regressor in candidates:
        model = make_pipeline(StandardScaler(), regressor).fit(train, split.scores("train"))
        srcc = metrics.srcc(model.predict(val), split.scores("val"))
        fitted.append((float(np.nan_to_num(srcc, nan=-1.0)), settings, model))
    srcc, settings, model = max(fitted, key=lambda each: each[0])
    return Prediction(
        model.predict(val),
        model.predict(test),
        fit_seconds=time.perf_counter() - began,
        picture_ms=features.picture_ms,
        chosen={**settings, "validation_srcc": srcc},
    )


def brisque_features(split: Split) -> Features:
    """BRISQUE's 36 features of every picture at its own size, computed in several processes."""

    def rows(images: list[str]) -> Iterator[tuple[Vector, float]]:
        workers = ProcessPoolExecutor(
            split.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_brisque,
            initargs=(split.pictures,),
        )
        with workers:
            yield from workers.map(_brisque_row, images, chunksize=8)

    return cached(split, "brisque", rows)


_worker: dict[str, Any] = {}


def _start_brisque(pictures: Any) -> None:
    from brisque import BRISQUE

    _worker.update(pictures=pictures, model=BRISQUE(url=False))


def _brisque_row(image: str) -> tuple[Vector, float]:
    """The features that `BRISQUE.score` computes, [36], and the milliseconds they took.

    `score` itself fails under NumPy 2.4 and later: some of its features are arrays of one number, which no longer
    turn into numbers by themselves.
    """
    import cv2
    from skimage.color import rgb2gray

    began = time.perf_counter()
    gray = rgb2gray(np.asarray(_worker["pictures"].read(image)))
    half = cv2.resize(gray, None, fx=1 / 2, fy=1 / 2, interpolation=cv2.INTER_CUBIC)
    compute = _worker["model"].calculate_brisque_features
    values = [np.ravel(value)[0] for size in (gray, half) for value in compute(size, kernel_size=7, sigma=7 / 6)]
    row = np.nan_to_num(np.array(values, dtype=np.float64))
    return row, 1000 * (time.perf_counter() - began)


def backbone_features(split: Split) -> Features:
    """The last feature map's mean per channel, of pictures squashed to `split.side`."""
    import torch

    from iqa.device import choose_device
    from iqa.model.backbone.backbone import Backbone

    def rows(images: list[str]) -> Iterator[tuple[Vector, float]]:
        device = choose_device("auto")
        net = Backbone(BACKBONE, pretrained=True, stages="last", pooling="mean", image_size=split.side)
        net = net.to(device).eval()
        for start in range(0, len(images), BATCH):
            began = time.perf_counter()
            batch = images[start : start + BATCH]
            pixels = torch.from_numpy(np.stack([read_square(split, image) for image in batch])).permute(0, 3, 1, 2)
            with torch.inference_mode():
                features = net(pixels.to(device)).cpu().numpy()
            spent = 1000 * (time.perf_counter() - began) / len(batch)
            yield from ((row.astype(np.float64), spent) for row in features)

    return cached(split, f"{BACKBONE}-{split.side}", rows)


def read_square(split: Split, image: str) -> NDArray[np.uint8]:
    """A picture squashed to `split.side`, [side, side, 3]."""
    picture = split.pictures.read(image)
    return np.asarray(picture.resize((split.side, split.side), Image.Resampling.BICUBIC))


def cached(split: Split, name: str, rows: Callable[[list[str]], Iterator[tuple[Vector, float]]]) -> Features:
    """Features of the split's pictures; those that an earlier call computed are read from `split.cache`.

    Args:
        rows: images -> a row of features and the milliseconds it took, for each image in turn.
    """
    path = split.cache / f"{name}.npz"
    known: dict[str, Vector] = {}
    spent: list[float] = []
    if path.exists():
        with np.load(path) as file:
            known, spent = dict(zip(file["images"], file["rows"], strict=True)), list(file["ms"])
    if missing := [image for image in split.table["image"] if image not in known]:
        for image, (row, ms) in zip(missing, rows(missing), strict=True):
            known[image] = row
            spent.append(ms)
        images, table = np.array(list(known)), np.stack(list(known.values()))
        atomic_write(path, lambda file: np.savez(file, images=images, rows=table, ms=np.array(spent)))
    return Features(known, picture_ms=float(np.median(spent)))


def cache_of(folder: Path, root: Path) -> Path:
    """Where features of the pictures under `root` are kept; remove it after changing pictures."""
    return folder / f"baselines-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"
