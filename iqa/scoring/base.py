"""Pictures in, tables of scores out, whatever runs the model: nothing here needs torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Literal

import numpy as np
import pandas as pd

from iqa.config import ExperimentConfig
from iqa.conformal import Said, p_values
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError
from iqa.scoring.picture import Picture
from iqa.scoring.scale import BOUNDS, Calibration
from iqa.scoring.stream import Pool, Seen, decode_ahead

#: Columns of a table of scores.
#: score: the model's own, about 0-1, higher is better. calibrated: on the scale and in the direction of the scores
#: that it was trained on; NaN where the checkpoint knows of no scale. BOUNDS hold people's score for `coverage` of
#: pictures; see `iqa.scoring.scale`. cluster: most responsible mixture component, log_likelihood: of the picture under
#: the mixture, in nats; both missing without a mixture. typicality: 0-1, the share of the pictures that the model was
#: calibrated on that look as unlike its training pictures; NaN where the checkpoint does not know.
SCORES = ("score", "calibrated", *BOUNDS, "cluster", "log_likelihood", "typicality")
#: Pictures of lower typicality are called unusual; of pictures like those of the training it is this share.
UNUSUAL = 0.05
#: Squares in one batch of the model; more gain nothing on a CPU, and decoding is what a GPU waits for.
BATCH_SIZE = 32


class PictureScorer(ABC):
    """A trained model, ready to score pictures.

    Attributes:
        config: what it was trained with.
        epoch: the epoch it comes from.
        digest: SHA-256 (hex) of its file.
        score_name: what its scores imitate, "pseudo-MOS" or "MOS".
        views: how pictures become squares.
        calibration: to the scale of the training scores; None where its file has none.
        usual: [n], sorted, how unlike the training pictures other pictures of their kind look; None where its file does
            not say.
        coverage: share of pictures that the ends of intervals hold for; may be set.
        device: what it runs on.
    """

    config: ExperimentConfig
    epoch: int | None
    digest: str
    score_name: str
    views: ViewPolicy
    calibration: Calibration | None
    usual: np.ndarray | None
    coverage: float
    device: object

    @abstractmethod
    def _predict(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Figures of n squares, each uint8 [side, side, 3]; float [n, 4 + K]: score, spread of the heads,
        log-likelihood (NaN without a mixture), distance from the training pictures (NaN where that was not found) and a
        responsibility for each component."""

    @property
    @abstractmethod
    def passing(self) -> int:
        """Bytes that a square takes at most while it passes through the network."""

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
        """Figures of a square, as `_predict` gives them."""
        return 4 + self.config.model.n_clusters

    def _table(self, means: np.ndarray, taken: Sequence[Seen], on_error: str) -> pd.DataFrame:
        """Means over pictures [n, 4 + K] as rows."""
        said = Said(means[:, 0], means[:, 1], means[:, 4:])
        score = pd.Series(said.score)
        table = pd.DataFrame(np.nan, index=score.index, columns=list(SCORES)).assign(score=score)
        if self.calibration is not None:
            table["calibrated"] = self.calibration(score)
            table[list(BOUNDS)] = self.calibration.bounds(said, self.coverage)
        if self.config.model.n_clusters:
            table["cluster"] = np.where(score.isna(), np.nan, said.component)
        table["log_likelihood"] = means[:, 2]
        if self.usual is not None:
            table["typicality"] = p_values(self.usual, means[:, 3])
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
