"""What an exported file computes: from uint8 squares to all that is said of them, as one network."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from iqa.conformal import LARGEST, Intervals, Said, Vector
from iqa.metrics import LogisticFit
from iqa.model.backbone.fused import folded
from iqa.model.quality import QualityModel
from iqa.model.standardise import Standardise
from iqa.scoring.scale import Calibration

#: An expected error of which no multiple leaves the scale.
_SMALL = 1e-7


class SquareJudge(nn.Module):
    """uint8 squares [N, side, side, 3] -> the outputs `names`, in order.

    score [N]: the model's own, about 0-1, higher is better. spread [N]: standard deviation over its heads. With a
    mixture: log_likelihood [N] in nats, responsibilities [N, K], cluster int64 [N]. Where the model knows what is
    usual: distance [N] from the training pictures. With intervals: low and high [N], the ends of the square's interval
    by itself, in 0-1, higher is better.

    Args:
        model: on the CPU; it is copied.
        calibration: of its scores; None where it has none.
        coverage: share of pictures that low and high are to hold for.
    """

    def __init__(self, model: QualityModel, calibration: Calibration | None, coverage: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model, {id(model.backbone): folded(model.backbone)}).requires_grad_(False).eval()
        for module in self.model.modules():
            if isinstance(module, Standardise):
                # The same in evaluation, and it does not ask how many rows there are, which would fix their number.
                module.forward = module.apply_running  # type: ignore[method-assign]
        self.people = None
        if calibration is not None and calibration.intervals is not None:
            self.people = PeopleScale(calibration.mapping, calibration.intervals, coverage)

    @property
    def names(self) -> list[str]:
        """Of the outputs."""
        mixture = ["log_likelihood", "responsibilities", "cluster"] * (self.model.mixture is not None)
        distance = ["distance"] * (self.model.usual is not None)
        return ["score", "spread", *mixture, *distance, *["low", "high"] * (self.people is not None)]

    def forward(self, squares: Tensor) -> tuple[Tensor, ...]:
        said = self.model(squares.permute(0, 3, 1, 2))
        spread = said.by_head.std(dim=0, correction=0)
        outputs = [said.score, spread]
        if said.responsibilities is not None:
            shares = said.responsibilities
            outputs += [said.log_likelihood, shares, shares.argmax(dim=1)]
        if said.distance is not None:
            outputs.append(said.distance)
        if self.people is not None:
            outputs += self.people(said.score, spread, said.responsibilities)
        return tuple(outputs)


class PeopleScale(nn.Module):
    """`Calibration.bounds` at one coverage, as shares of the scale: low and high, each [N] in 0-1."""

    weights: Tensor
    factors: Tensor

    def __init__(self, mapping: LogisticFit, intervals: Intervals, coverage: float) -> None:
        super().__init__()
        self.mapping = mapping
        self.bias = intervals.bias
        self.register_buffer("weights", torch.tensor(intervals.weights, dtype=torch.float32))
        self.register_buffer("factors", torch.tensor(factors(intervals, coverage), dtype=torch.float32))

    def forward(self, score: Tensor, spread: Tensor, responsibilities: Tensor | None) -> list[Tensor]:
        mapped = self._mapped(score).clamp(0, 1)
        signs = torch.stack([mapped, mapped**2, mapped**3, spread], dim=1)
        factor = self.factors[:1]
        if responsibilities is not None:
            signs = torch.cat([signs, responsibilities], dim=1)
            factor = self.factors[responsibilities.argmax(dim=1)]
        half = factor * torch.exp((signs @ self.weights + self.bias).clamp(max=LARGEST))
        return [(mapped - half).clamp(0, 1), (mapped + half).clamp(0, 1)]

    def _mapped(self, score: Tensor) -> Tensor:
        if self.mapping.linear:
            slope, intercept = self.mapping.parameters
            return slope * score + intercept
        upper, lower, centre, width = self.mapping.parameters
        return lower + (upper - lower) * torch.sigmoid((score - centre) / width)


def factors(intervals: Intervals, coverage: float) -> Vector:
    """What the expected error of a picture of each component is multiplied by, [K], or [1] without a mixture.

    Read off what the intervals say where every expected error is alike and too small to reach an end of the scale;
    where pictures are too few to be so sure, that is the whole scale.
    """
    components = len(intervals.weights) - 4
    shares = np.eye(components) if components else np.empty((1, 0))
    middle = np.full(len(shares), 0.5)
    alike = replace(intervals, weights=np.zeros_like(intervals.weights), bias=float(np.log(_SMALL)))
    low, high = alike(Said(middle, np.zeros_like(middle), shares), coverage)
    return (high - low) / (2 * _SMALL)
