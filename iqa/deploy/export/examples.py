"""Real pictures that an exported model has to score as the checkpoint does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from iqa.config.data import DataConfig
from iqa.data.scored.load import load_scored
from iqa.data.synthetic.distortions import distort
from iqa.data.synthetic.plan import plan_distortions
from iqa.data.synthetic.sources import load_clean
from iqa.errors import UserError, first_line
from iqa.scoring.inputs import find_inputs
from iqa.scoring.picture import Picture

#: Pictures are taken evenly from all there are: enough that two neighbours in rank may change places by rounding.
MOST = 64


@dataclass(frozen=True)
class Examples:
    """Pictures to score.

    Attributes:
        pictures: MOST at most.
        source: where they are from, in words.
        people: float [N], what people said of them, in 0-1; None where nobody did.
    """

    pictures: Sequence[Picture]
    source: str
    people: np.ndarray | None = None


def find_examples(data: DataConfig, side: int, folder: str | Path = "") -> Examples:
    """Pictures of `folder`; where none is given, test pictures of the experiment; else photographs of packages.

    Args:
        data: of the experiment; its pictures need not be there.
        side: of the squares that the model sees.

    Raises:
        UserError: no pictures in `folder`.
    """
    if folder:
        inputs = find_inputs(str(folder))
        names = [name for name in inputs.names if name not in inputs.faults]
        return Examples([inputs.path(names[row]) for row in _evenly(len(names))], str(folder))
    try:
        return _scored(data) if data.scored else _distorted(data, data.dataset)
    except UserError as error:
        missing = f"{data.dataset} is not there: {first_line(error)}"
        photographs = DataConfig(dataset="photos", picture_size=side)
        return _distorted(photographs, f"photographs of packages, distorted ({missing})")


def _scored(data: DataConfig) -> Examples:
    """Test pictures that people scored."""
    found = load_scored(data, judged_whole=True)
    test = found.manifest[found.manifest["split"] == "test"]
    test = (test if len(test) else found.manifest).sort_values("image", ignore_index=True)
    pictures: list[Picture] = []
    people = []
    for row in _evenly(len(test)):
        try:
            pictures.append(found.read(test["image"][row]))
        except ValueError:  # one that training left out, too
            continue
        people.append(test["score"][row])
    return Examples(pictures, f"test pictures of {data.dataset}", np.array(people))


def _distorted(data: DataConfig, source: str) -> Examples:
    """Clean pictures of the test split, distorted by the recipe of the experiment."""
    clean = load_clean(data)
    plan = plan_distortions(
        clean.contents(),
        {"train": 0, "val": 0, "test": MOST},
        data.pristine_share,
        data.seed,
        crops=clean.crops,
        colourless=clean.colourless(),
    )
    pictures: list[Picture] = []
    for row in plan.itertuples():
        try:
            square = torch.from_numpy(clean.read(row.image).copy()).permute(2, 0, 1)[None]
        except ValueError:
            continue
        worse = distort(square, row.kind, row.level, [row.seed])
        pictures.append(worse[0].permute(1, 2, 0).contiguous().numpy())
    return Examples(pictures, source)


def _evenly(count: int) -> list[int]:
    """MOST numbers below `count`, evenly spread; all of them if they are fewer."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, MOST))})
