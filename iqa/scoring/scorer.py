"""A checkpoint on a device, ready to score."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config
from iqa.conformal import Said, check_coverage
from iqa.data.prepared import PixelStore
from iqa.data.store.views import ViewPolicy
from iqa.device import autocast, choose_device, choose_precision, memory_advice
from iqa.errors import IqaError, UserError
from iqa.model.backbone.fused import folded
from iqa.model.quality import Prediction, QualityModel
from iqa.progress import progress_bar
from iqa.scoring.picture import Picture
from iqa.scoring.scale import BOUNDS, COVERAGE, Calibration
from iqa.scoring.stream import Pool, Seen, decode_ahead
from iqa.training.build import build_feed
from iqa.training.checkpoints import BEST, load_checkpoint, load_model_state

#: Columns of a table of scores.
#: score: the model's own, about 0-1, higher is better. calibrated: on the scale and in the direction of the scores
#: that it was trained on; NaN where the checkpoint knows of no scale. BOUNDS hold people's score for `coverage` of
#: pictures; see `iqa.scoring.scale`. cluster: most responsible mixture component, log_likelihood: how usual the picture
#: is among the training pictures, in nats; both missing without a mixture.
SCORES = ("score", "calibrated", *BOUNDS, "cluster", "log_likelihood")
#: Squares in one batch of the model; more gain nothing on a CPU, and decoding is what a GPU waits for.
BATCH_SIZE = 32


# A forked child has none of its parent's threads, which torch would wait for.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@dataclass(frozen=True)
class Predictions:
    """What the model says of N pictures; the mixture's part is None without a mixture."""

    score: np.ndarray
    spread: np.ndarray
    embedding: np.ndarray
    responsibilities: np.ndarray | None
    log_likelihood: np.ndarray | None
    z: np.ndarray | None = None

    @property
    def cluster(self) -> np.ndarray:
        """The most responsible component of each picture, -1 without a mixture."""
        if self.responsibilities is None:
            return np.full(len(self.score), -1)
        return np.asarray(self.responsibilities.argmax(1))

    @property
    def said(self) -> Said:
        """What intervals depend on."""
        shares = np.empty((len(self.score), 0)) if self.responsibilities is None else self.responsibilities
        return Said(*(part.astype(np.float64) for part in (self.score, self.spread, shares)))


class Scorer:
    """A checkpoint on a device, ready to score; it can be pickled, and used in a forked child.

    Attributes:
        config: what it was trained with.
        epoch: the epoch it comes from.
        digest: SHA-256 (hex) of the checkpoint.
        score_name: what its scores imitate, "pseudo-MOS" or "MOS".
        views: how pictures become squares.
        calibration: to the scale of the training scores; None where the checkpoint has none.
        coverage: share of pictures that the ends of intervals hold for; may be set.
    """

    def __init__(self, checkpoint: Path, device: str = "auto", coverage: float = COVERAGE) -> None:
        self.coverage = check_coverage(coverage)
        content = load_checkpoint(checkpoint)
        with checkpoint.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.config: ExperimentConfig = build_config(content["config"], where=str(checkpoint))
        self.device = choose_device(device)
        self.precision = choose_precision(self.config.training.precision, self.device)
        self.epoch = int(content.get("epoch", len(content.get("history", []))))
        self.score_name: str = content["score_name"]
        self.views = ViewPolicy.from_dict(content.get("views") or {"side": content["picture_size"]})
        known = content.get("calibration")
        self.calibration = Calibration.from_dict(known, content.get("intervals")) if known else None
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights' places is no business of the caller
            model = QualityModel.from_config(self.config.model, content["image_size"], load_weights=False)
        load_model_state(model, content["model"], checkpoint)
        self.model = model.to(self.device).eval()

    @property
    def not_calibrated(self) -> tuple[str, ...]:
        """Why its calibrated scores are its own, only stretched to the scale; empty where they are not."""
        return (self.calibration.note,) if self.calibration and self.calibration.note else ()

    @property
    def no_intervals(self) -> tuple[str, ...]:
        """Why its scores come without intervals; empty where they come with them."""
        if self.calibration is None:
            return ("the checkpoint knows of no scale",)
        return (self.calibration.no_intervals,) if self.calibration.no_intervals else ()

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without the quicker backbone, which is made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_looking"}

    @cached_property
    def _looking(self) -> QualityModel:
        """The model with a quicker backbone, which says the same; what is cached goes by the weights of `model`."""
        backbone = self.model.backbone
        return copy.deepcopy(self.model, {id(backbone): folded(backbone)})

    @torch.inference_mode()
    def predict(self, store: PixelStore, split: str, *, progress: bool | None = None) -> Predictions:
        """Predictions for one split of a prepared set, in the order of `store.indices(split)`.

        What the model says of the squares of a picture is averaged.
        """
        with memory_advice(self.device):
            feed = build_feed(self.model, store, self.config, self.device, self.precision, progress)
            parts = []
            with progress_bar(total=feed.batches(split), desc="predicting", unit="batch", shown=progress) as bar:
                for inputs in feed.inputs(split):
                    with autocast(self.device, self.precision):
                        parts.append(feed.predict(self._looking, inputs))
                    bar.update()
            return _join(parts, lambda values: feed.pool(split, values))

    def score(self, pictures: Sequence[Picture], *, on_error: Literal["raise", "row"] = "raise") -> pd.DataFrame:
        """Score pictures of any size: columns SCORES, one row each, in order.

        A picture is cut to squares as those of the training were (`views`), and what the model says of its squares
        is averaged; nothing is random.

        Args:
            on_error: "row" gives a picture that cannot be read a row without scores, and every row the columns `error`
                (the reason, or None) and `note` (what has to be said of it, such as further frames, or None).

        Raises:
            UserError: a picture cannot be read, naming it.
        """
        parts = list(self.score_stream(pictures, on_error=on_error))
        return pd.concat(parts) if parts else self._table(np.empty((0, self._width)), [], on_error)

    def score_stream(
        self,
        pictures: Iterable[Picture],
        *,
        on_error: Literal["raise", "row"] = "raise",
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
    ) -> Iterator[pd.DataFrame]:
        """The rows of `score` for any number of pictures, some at a time, in order; indexed from 0 throughout.

        Memory does not grow with the number of pictures: they are asked for, and decoded, shortly before the model
        sees them, and forgotten with the next rows.

        Args:
            batch_size: squares that the model sees at once.
            workers: threads that decode; None: one per processor, 16 at most.

        Raises:
            UserError: a picture cannot be read, naming it; a batch_size below 1.
        """
        if batch_size < 1 or (workers is not None and workers < 1):
            raise UserError(
                "batch_size and workers are counts", got=f"{batch_size} and {workers}", expected="1 or more"
            )
        pool, given = Pool(self._predict, batch_size, self._width), 0
        ahead = 1 + batch_size // self.views.crops
        with closing(decode_ahead(pictures, self.views, workers, ahead)) as decoded:
            for seen in chain(decoded, [None]):
                if seen is None:
                    pool.finish()
                elif seen.fault is not None and on_error == "raise":
                    raise UserError(f"picture cannot be read: {seen.name}", got=seen.fault)
                else:
                    pool.add(seen)
                if pool.ready:
                    table = self._table(*pool.take(), on_error)
                    yield table.set_axis(range(given, given + len(table)))
                    given += len(table)

    @property
    def _width(self) -> int:
        """Figures of a square: score, spread of heads, log-likelihood and a responsibility for each component."""
        return 3 + self.config.model.n_clusters

    @torch.inference_mode()
    def _predict(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Figures of squares, float [n, 3 + K]."""
        pixels = torch.from_numpy(np.stack(squares)).to(self.device).permute(0, 3, 1, 2).contiguous()
        try:
            with autocast(self.device, self.precision):
                said = self._looking(pixels)
        except torch.OutOfMemoryError as error:
            raise IqaError(
                f"out of memory on {self.device}", got=f"{len(squares)} squares at once", fix="lower batch_size"
            ) from error
        unknown = torch.full_like(said.score, torch.nan)
        spread = said.by_head.float().std(dim=0, correction=0)
        figures = [said.score, spread, unknown if said.log_likelihood is None else said.log_likelihood]
        if said.responsibilities is not None:
            figures += said.responsibilities.unbind(1)
        return np.asarray(torch.stack(figures, 1).float().cpu().numpy())

    def _table(self, means: np.ndarray, taken: Sequence[Seen], on_error: str) -> pd.DataFrame:
        """Means over pictures [n, 3 + K] as rows."""
        said = Said(means[:, 0], means[:, 1], means[:, 3:])
        score = pd.Series(said.score)
        table = pd.DataFrame(np.nan, index=score.index, columns=list(SCORES)).assign(score=score)
        if self.calibration is not None:
            table["calibrated"] = self.calibration(score)
            table[list(BOUNDS)] = self.calibration.bounds(said, self.coverage)
        if self.config.model.n_clusters:
            table["cluster"] = np.where(score.isna(), np.nan, said.component)
        table["log_likelihood"] = means[:, 2]
        table = table.astype({"cluster": "Int64"})
        if on_error == "row":
            finite = np.isfinite(means[:, 0])
            reasons = [
                seen.fault or (None if fine else "the model gives no score")
                for seen, fine in zip(taken, finite, strict=True)
            ]
            table["error"] = pd.Series(reasons, dtype=object)
            table["note"] = pd.Series([seen.note for seen in taken], dtype=object)
        return table


def load_scorer(path: str | Path, device: str = "auto", coverage: float = COVERAGE) -> Scorer:
    """Load an experiment folder (its best model) or a checkpoint file.

    Raises:
        UserError: there is none, or it is damaged or of another kind.
    """
    path = Path(path)
    return Scorer(path / BEST if path.is_dir() else path, device, coverage)


def _join(parts: Sequence[Prediction], pool: Callable[[Tensor], Tensor]) -> Predictions:
    """Batches of squares together, and what belongs to one picture pooled."""

    def gather(tensors: Sequence[Tensor]) -> np.ndarray:
        return pool(torch.cat(list(tensors)).float()).cpu().numpy()

    shares = [part.responsibilities for part in parts if part.responsibilities is not None]
    likelihoods = [part.log_likelihood for part in parts if part.log_likelihood is not None]
    points = [part.z for part in parts if part.z is not None]
    return Predictions(
        score=gather([part.score for part in parts]),
        spread=gather([part.by_head.std(dim=0, correction=0) for part in parts]),
        embedding=gather([part.embedding for part in parts]),
        responsibilities=gather(shares) if shares else None,
        log_likelihood=gather(likelihoods) if likelihoods else None,
        z=gather(points) if points else None,
    )
