"""Whether an exported file says the same of real pictures as the checkpoint that it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from iqa.deploy.export.examples import Examples
from iqa.errors import IqaError
from iqa.metrics import srcc
from iqa.scoring.base import PictureScorer
from iqa.scoring.scale import Calibration

#: A file in float32 may differ by so much of the scale, and must put pictures into the same order.
MOST_DIFFERENCE, LEAST_SRCC = 1e-3, 0.9999
#: The order that one of 8-bit weights must keep.
LEAST_SRCC_OF_INT8 = 0.98
#: A picture's two scores that differ by less, as a share of the scale, are taken for one where ranks are compared: what
#: rounds differently must not count as another order among pictures of nearly the same score.
ALIKE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """How two models' scores of the same pictures agree.

    Attributes:
        pictures: that both scored.
        max_difference: largest, of score, calibrated score and ends of intervals, as a share of the scale.
        srcc: between their scores; None where one of them gives all pictures the same.
        same_cluster: share of pictures that both put into the same component; None without a mixture.
        srcc_of_checkpoint, srcc_of_file: with what people said; None where nobody did.
    """

    pictures: int
    max_difference: float
    srcc: float | None
    same_cluster: float | None
    srcc_of_checkpoint: float | None = None
    srcc_of_file: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(checkpoint: PictureScorer, file: PictureScorer, examples: Examples) -> Agreement:
    """Score the same pictures both ways; those that cannot be read are left out.

    Raises:
        IqaError: none can be read, or the file gives one that the checkpoint scores no score.
    """
    ours, theirs = (each.score(examples.pictures, on_error="row") for each in (checkpoint, file))
    read = ours["score"].notna()
    if not read.any():
        raise IqaError(f"no picture of {examples.source} can be read, so that nothing can be compared")
    if theirs["score"][read].isna().any():
        raise IqaError("the exported model gives no score to a picture", got=_reason(theirs[read]))
    ours, theirs = ours[read], theirs[read]
    same = (ours["score"] - theirs["score"]).abs() < ALIKE
    people = None if examples.people is None else examples.people[read.to_numpy()]
    return Agreement(
        pictures=len(ours),
        max_difference=_difference(ours, theirs, checkpoint.calibration),
        srcc=_known(srcc(ours["score"], theirs["score"].mask(same, ours["score"]))) if len(ours) > 1 else None,
        same_cluster=None if ours["cluster"].isna().all() else float((ours["cluster"] == theirs["cluster"]).mean()),
        srcc_of_checkpoint=None if people is None else _known(srcc(ours["score"], people)),
        srcc_of_file=None if people is None else _known(srcc(theirs["score"], people)),
    )


def refuse_disagreement(found: Agreement, weights: str) -> None:
    """Refuse a file that does not say what the checkpoint says.

    Args:
        weights: "float32", or "int8", of which only the order of pictures is asked.

    Raises:
        IqaError: it differs by more than its weights excuse.
    """
    exact = weights == "float32"
    least = LEAST_SRCC if exact else LEAST_SRCC_OF_INT8
    ordered = found.srcc is None or found.srcc >= least
    if ordered and (found.max_difference <= MOST_DIFFERENCE or not exact):
        return
    close = f" and a difference up to {MOST_DIFFERENCE:g} of the scale" if exact else ""
    raise IqaError(
        f"the exported model does not score as the checkpoint does, so no file is left ({weights} weights)",
        got=f"SRCC {found.srcc} and a difference of {found.max_difference:.2g} over {found.pictures} pictures",
        expected=f"SRCC {least} or more{close}",
        fix=None if exact else "leave out --quantise",
    )


def _difference(ours: pd.DataFrame, theirs: pd.DataFrame, calibration: Calibration | None) -> float:
    width = abs(calibration.scale.high - calibration.scale.low) if calibration else 1.0
    units = {"score": 1.0, "low": 1.0, "high": 1.0}
    units |= dict.fromkeys(("calibrated", "calibrated_low", "calibrated_high"), width)
    # Where neither has a calibration or intervals, nothing differs.
    return max(float((ours[name] - theirs[name]).abs().max(skipna=True) or 0) / unit for name, unit in units.items())


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _reason(table: pd.DataFrame) -> str | None:
    reasons = table["error"].dropna()
    return None if reasons.empty else str(reasons.iloc[0])
