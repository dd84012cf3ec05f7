"""A running mean of a model's weights: steadier than the weights of any one step, for the price of a copy."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from iqa.model.quality import QualityModel

#: The mean is quick to forget its first steps: the decay of step n is at most (1 + n) / (WARMUP + n).
WARMUP = 10


class AveragedModel:
    """Exponential moving average of the trained weights (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992).

    The mixture and all buffers are those of the trained model: EM moves the mixture at one stroke, and the mean of
    before and after describes nothing.

    Attributes:
        model: the averaged model, in evaluation mode.
    """

    def __init__(self, model: QualityModel, decay: float) -> None:
        # What is not trained is shared: it need not be copied, then or later.
        shared = [part for part in (model.backbone, model.reduction) if part is not None and model.freeze_backbone]
        self.model = copy.deepcopy(model, {id(part): part for part in shared}).requires_grad_(False).eval()
        self._decay = decay
        self._steps = 0
        names = [name for name, p in model.named_parameters() if p.requires_grad and not name.startswith("mixture.")]
        self._means: list[Tensor] = [self.model.get_parameter(name) for name in names]
        self._trained: list[Tensor] = [model.get_parameter(name) for name in names]
        theirs, ours = model.state_dict(), self.model.state_dict()
        apart = [name for name in theirs if ours[name].data_ptr() != theirs[name].data_ptr()]
        self._copied = [(ours[name], theirs[name]) for name in apart if name not in set(names)]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an optimiser's step into the mean."""
        decay = min(self._decay, (1 + self._steps) / (WARMUP + self._steps))
        torch._foreach_lerp_(self._means, self._trained, 1 - decay)
        self._steps += 1

    @torch.no_grad()
    def follow(self) -> None:
        """Take over what is not averaged; before the averaged model is used."""
        for ours, theirs in self._copied:
            ours.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._steps = int(state["steps"])
