"""A trained model at work: over a prepared test set, or over any pictures."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.config_file import build_config
from iqa.data.pictures import as_rgb, read_rgb
from iqa.data.pixels import PixelStore
from iqa.device import autocast, choose_device, choose_precision, memory_advice
from iqa.errors import UserError
from iqa.model.quality import Prediction, QualityModel
from iqa.training.checkpoints import BEST, load_checkpoint, load_model_state
from iqa.training.session import build_feed

#: A picture: a path, encoded bytes, base64 text of encoded bytes, a Pillow image or uint8 H x W x 3.
Picture = str | Path | bytes | Image.Image | np.ndarray


#: Characters; a longer text cannot be a path and is taken for a base64 picture.
LONGEST_PATH = 512


@dataclass(frozen=True)
class Predictions:
    """What the model says of N pictures; the mixture's part is None without a mixture."""

    score: np.ndarray
    embedding: np.ndarray
    responsibilities: np.ndarray | None
    log_likelihood: np.ndarray | None

    @property
    def cluster(self) -> np.ndarray:
        """The most responsible component of each picture, -1 without a mixture."""
        if self.responsibilities is None:
            return np.full(len(self.score), -1)
        return np.asarray(self.responsibilities.argmax(1))


class Scorer:
    """A checkpoint on a device, ready to score.

    Attributes:
        config: what it was trained with.
        epoch: the epoch it comes from.
        score_name: what its scores imitate, "pseudo-MOS" or "MOS".
    """

    def __init__(self, checkpoint: Path, device: str = "auto") -> None:
        content = load_checkpoint(checkpoint)
        self.config: ExperimentConfig = build_config(content["config"], where=str(checkpoint))
        self.device = choose_device(device)
        self.precision = choose_precision(self.config.training.precision, self.device)
        self.epoch = int(content.get("epoch", len(content.get("history", []))))
        self.score_name: str = content["score_name"]
        self._picture_size: int = content["picture_size"]
        model = QualityModel.from_config(self.config.model, content["image_size"], load_weights=False)
        load_model_state(model, content["model"], checkpoint)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def predict(self, store: PixelStore, split: str, *, progress: bool | None = None) -> Predictions:
        """Predictions for one split of a prepared set, in the order of `store.indices(split)`."""
        with memory_advice(self.device):
            feed = build_feed(self.model, store, self.config, self.device, self.precision, progress)
            parts = []
            for inputs, _ in feed.batches(split):
                with autocast(self.device, self.precision):
                    parts.append(feed.predict(self.model, inputs))
        return _join(parts)

    @torch.inference_mode()
    def score(self, pictures: Sequence[Picture]) -> pd.DataFrame:
        """Score pictures of any size: score, cluster and log_likelihood, one row each.

        A picture is resized so that its short side is what the model was trained on, and square crops that
        cover it along its long side are averaged; nothing is random.

        Raises:
            UserError: a picture cannot be read, naming it.
        """
        rows = []
        for picture in pictures:
            crops = _squares(_decode(picture), self._picture_size)
            with autocast(self.device, self.precision):
                prediction = _join([self.model(crops.to(self.device))])
            row: dict[str, float | int | None] = {"score": float(prediction.score.mean())}
            if prediction.responsibilities is not None and prediction.log_likelihood is not None:
                row["cluster"] = int(prediction.responsibilities.mean(0).argmax())
                row["log_likelihood"] = float(prediction.log_likelihood.mean())
            rows.append(row)
        table = pd.DataFrame(rows, columns=["score", "cluster", "log_likelihood"])
        return table.astype({"score": float, "cluster": "float", "log_likelihood": float})


def load_scorer(path: str | Path, device: str = "auto") -> Scorer:
    """Load an experiment folder (its best model) or a checkpoint file.

    Raises:
        UserError: there is none, or it is damaged or of another kind.
    """
    path = Path(path)
    return Scorer(path / BEST if path.is_dir() else path, device)


def _join(parts: Sequence[Prediction]) -> Predictions:
    def gather(name: str) -> np.ndarray | None:
        tensors = [getattr(part, name) for part in parts]
        if any(tensor is None for tensor in tensors):
            return None
        return torch.cat(tensors).float().cpu().numpy()

    log_responsibilities = gather("log_responsibilities")
    score, embedding = gather("score"), gather("embedding")
    if score is None or embedding is None:
        raise ValueError("a prediction without score or embedding")
    return Predictions(
        score=score,
        embedding=embedding,
        responsibilities=None if log_responsibilities is None else np.exp(log_responsibilities),
        log_likelihood=gather("log_likelihood"),
    )


def _decode(picture: Picture) -> np.ndarray:
    """Any picture as uint8 H x W x 3."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(
                "an array is no picture", got=f"{picture.dtype} {picture.shape}", expected="uint8 H x W x 3"
            )
        return picture
    if isinstance(picture, Image.Image):
        return np.asarray(as_rgb(picture))
    if isinstance(picture, str) and len(picture) > LONGEST_PATH:
        picture = _from_base64(picture)
    try:
        return np.asarray(read_rgb(io.BytesIO(picture) if isinstance(picture, bytes) else Path(picture)))
    except ValueError as error:
        name = "encoded bytes" if isinstance(picture, bytes) else str(picture)
        raise UserError(f"picture cannot be read: {name}", got=error) from error


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UserError("a text is neither a path nor a base64 picture", got=f"{text[:40]}...") from error


def _squares(picture: np.ndarray, side: int) -> Tensor:
    """Squares of `side` pixels that cover the picture, uint8 [n, 3, side, side]."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    crops = [resized[y : y + side, x : x + side] for y, x in _corners(resized.shape[0], resized.shape[1], side)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def _corners(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    """Evenly spread corners of squares along the long side; at most 4, whatever the picture's shape."""
    longest = max(height, width)
    count = min(4, -(-longest // side))
    for number in range(count):
        offset = round(number * (longest - side) / max(count - 1, 1))
        yield (offset, 0) if height > width else (0, offset)
