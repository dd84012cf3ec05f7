"""What the guide advises, as rules, so that a study can try it and say whether it holds."""

from __future__ import annotations

import re
from typing import Any

from iqa.config import ModelConfig
from iqa.tuning.space import Space, Values, contains

#: (most training pictures, least and most clusters); the last has no upper end.
_CLUSTERS = ((999, (4, 6)), (5000, (8, 12)), (None, (12, 16)))
#: Epochs that the guide gives a training of each kind.
EPOCHS = {"quick": (10, 20), "normal": (50, 100), "fine": (100, 200)}
_SMALL_RESNET = re.compile(r"resnet(18|34)\b")
_LARGE = re.compile(r"resnet(50|101|152)\b|vit_|swin|deit")


def learning_rate(model: ModelConfig) -> float | None:
    """The guide's rate for a backbone; None where it names none."""
    if model.freeze_backbone:
        return 5e-3
    if _SMALL_RESNET.search(model.backbone):
        return 1e-3
    return 5e-4 if _LARGE.search(model.backbone) else None


def clusters(pictures: int) -> tuple[int, int]:
    """The guide's least and greatest cluster count for a number of training pictures."""
    return next(counts for most, counts in _CLUSTERS if most is None or pictures <= most)


def as_values(model: ModelConfig, pictures: int, space: Space) -> Values:
    """The guide's advice as far as the space holds it."""
    advised: dict[str, Any] = {}
    rate = learning_rate(model)
    if rate is not None:
        advised["training.learning_rate"] = rate
    low, high = clusters(pictures)
    for count in sorted(range(low, high + 1), key=lambda count: abs(count - (low + high) / 2)):
        if "model.n_clusters" in space and contains(space["model.n_clusters"], count):
            advised["model.n_clusters"] = count
            break
    return {key: value for key, value in advised.items() if key in space and contains(space[key], value)}
