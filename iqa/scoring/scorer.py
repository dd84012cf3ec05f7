"""A checkpoint on a device, ready to score."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.config.reading import build_config
from iqa.conformal import Said, check_coverage
from iqa.data.prepared import PixelStore
from iqa.data.store.views import ViewPolicy
from iqa.device import autocast, choose_device, choose_precision, memory_advice
from iqa.errors import IqaError, UserError
from iqa.forecast import passing
from iqa.model.backbone.fused import folded
from iqa.model.quality import Prediction, QualityModel
from iqa.model.typicality import Distance
from iqa.progress import progress_bar
from iqa.scoring.base import PictureScorer
from iqa.scoring.scale import COVERAGE, Calibration
from iqa.training.build import build_feed
from iqa.training.checkpoints import BEST, checkpoint_parts, load_checkpoint, load_model_state

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


class Scorer(PictureScorer):
    """A checkpoint on a device, ready to score; it can be pickled, and used in a forked child.

    Attributes:
        model: the network in it, on the device and in evaluation.
        precision: what it computes in.
    """

    def __init__(self, checkpoint: Path, device: str = "auto", coverage: float = COVERAGE) -> None:
        self.coverage = check_coverage(coverage)
        content = load_checkpoint(checkpoint)
        with checkpoint.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.device: torch.device = choose_device(device)
        with checkpoint_parts(checkpoint):
            model = self._take_apart(content, checkpoint)
        self.precision = choose_precision(self.config.training.precision, self.device)
        self.model = model.to(self.device).eval()

    def _take_apart(self, content: dict[str, Any], checkpoint: Path) -> QualityModel:
        """Keep what a checkpoint says; the model that is in it, on the CPU."""
        self.config: ExperimentConfig = build_config(content["config"], where=str(checkpoint))
        self.epoch = int(content.get("epoch", len(content.get("history", []))))
        self.score_name = str(content["score_name"])
        self.views = ViewPolicy.from_dict(content.get("views") or {"side": content["picture_size"]})
        known = content.get("calibration")
        self.calibration = Calibration.from_dict(known, content.get("intervals")) if known else None
        _refuse_other_sizes(self.config, content["model"], checkpoint)
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights' places is no business of the caller
            model = QualityModel.from_config(self.config.model, content["image_size"], load_weights=False)
        load_model_state(model, content["model"], checkpoint)
        typical, self.usual = content.get("typicality", {}), None
        if "distances" in typical:
            model.usual, self.usual = Distance.from_dict(typical), typical["distances"].numpy()
        return model

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without the quicker backbone, which is made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_looking"}

    @cached_property
    def _looking(self) -> QualityModel:
        """The model with a quicker backbone, which says the same; what is cached goes by the weights of `model`."""
        backbone = self.model.backbone
        return copy.deepcopy(self.model, {id(backbone): folded(backbone)})

    @property
    def passing(self) -> int:
        """Bytes that a square takes at most while it passes through the network."""
        return passing(self.model, self.views.side, self.precision)

    @torch.inference_mode()
    def predict(self, store: PixelStore, split: str, *, progress: bool | None = None) -> Predictions:
        """Predictions for one split of a prepared set, in the order of `store.indices(split)`.

        What the model says of the squares of a picture is averaged.
        """
        with memory_advice(self.device):
            feed = build_feed(self.model, store, self.config, self.device, self.precision, progress)
            parts = []
            with progress_bar(total=feed.batches(split), desc="predicting", unit="batches", shown=progress) as bar:
                for inputs in feed.inputs(split):
                    with autocast(self.device, self.precision):
                        parts.append(feed.predict(self._looking, inputs))
                    bar.update()
            return _join(parts, lambda values: feed.pool(split, values))

    @torch.inference_mode()
    def _predict(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Figures of squares, float [n, 4 + K]."""
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
        figures = [said.score, spread]
        figures += [unknown if each is None else each for each in (said.log_likelihood, said.distance)]
        if said.responsibilities is not None:
            figures += said.responsibilities.unbind(1)
        return np.asarray(torch.stack(figures, 1).float().cpu().numpy())


def load_scorer(path: str | Path, device: str = "auto", coverage: float = COVERAGE) -> Scorer:
    """Load an experiment folder (its best model) or a checkpoint file.

    Raises:
        UserError: there is none, or it is damaged or of another kind.
    """
    path = Path(path)
    return Scorer(path / BEST if path.is_dir() else path, device, coverage)


def _refuse_other_sizes(config: ExperimentConfig, state: dict[str, Tensor], path: Path) -> None:
    """A config may name any size; before memory is asked for it, there must be weights of that size."""
    sizes = {size for tensor in state.values() for size in tensor.shape}
    wrong = [name for name in ("feature_dim", "hidden_dim") if getattr(config.model, name) not in sizes]
    if wrong:
        raise UserError(
            f"checkpoint {path} is of another model than its config describes",
            got=f"no weights of the size {getattr(config.model, wrong[0])}, which model.{wrong[0]} says",
            fix="use the checkpoint that was trained with this config.json",
        )


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
