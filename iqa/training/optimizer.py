"""Optimiser and schedule by name, and which parameters learn at which rate.

Schedules of a fixed course advance every step, the plateau every epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from iqa.config import TrainingConfig
from iqa.errors import UserError
from iqa.model.quality import QualityModel


def parameter_groups(
    model: QualityModel,
    learning_rate: float,
    weight_decay: float,
    *,
    backbone_lr_multiplier: float = 1.0,
    mixture_lr_multiplier: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for an optimiser: backbone and mixture at their own learning rates; no weight decay on biases, norms,
    position embeddings and the mixture. Each has "name", "params", "lr", "weight_decay"; none is empty.
    """
    exempt = model.backbone.no_weight_decay()
    backbone = list(model.backbone.named_parameters())
    head = [*model.head.named_parameters(), *model.companions.named_parameters()]
    mixture = list(model.mixture.parameters()) if model.mixture else []
    backbone_rate = learning_rate * backbone_lr_multiplier
    groups = [
        ("backbone", backbone_rate, weight_decay, _decayed(backbone, exempt, True)),
        ("backbone_no_decay", backbone_rate, 0.0, _decayed(backbone, exempt, False)),
        ("head", learning_rate, weight_decay, _decayed(head, set(), True)),
        ("head_no_decay", learning_rate, 0.0, _decayed(head, set(), False)),
        ("mixture", learning_rate * mixture_lr_multiplier, 0.0, mixture),
    ]
    return [
        {"name": name, "params": parameters, "lr": rate, "weight_decay": decay}
        for name, rate, decay, parameters in groups
        if parameters
    ]


def build_optimizer(groups: list[dict[str, object]], settings: TrainingConfig, device: torch.device) -> Optimizer:
    """The optimiser over parameter groups that carry their own learning rate and weight decay."""
    fused = device.type in ("cpu", "cuda")
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True, fused=fused)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, fused=fused)


class Schedule:
    """The course of the learning rate: call `after_step` and `after_epoch`, whatever its kind."""

    def __init__(self, optimizer: Optimizer, settings: TrainingConfig, steps_per_epoch: int) -> None:
        self.optimizer = optimizer
        self._plateau: ReduceLROnPlateau | None = None
        self._course: LRScheduler | None = None
        total = settings.epochs * steps_per_epoch
        params = settings.scheduler_params
        try:
            if settings.scheduler == "reduce_on_plateau":
                self._plateau = ReduceLROnPlateau(optimizer, **{"mode": "max", **params})  # type: ignore[arg-type]
            elif settings.scheduler == "cosine":
                self._course = CosineAnnealingLR(optimizer, T_max=total, **params)  # type: ignore[arg-type]
            elif settings.scheduler == "one_cycle":
                peaks = [group["lr"] for group in optimizer.param_groups]
                self._course = OneCycleLR(optimizer, max_lr=peaks, total_steps=total, **params)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise UserError(
                f"training.scheduler_params do not fit scheduler '{settings.scheduler}'", got=error
            ) from error

    @property
    def learning_rate(self) -> float:
        """The head's learning rate now: the one that the config names."""
        return float(next(group["lr"] for group in self.optimizer.param_groups if group["name"] == "head"))

    def after_step(self) -> None:
        if self._course is not None:
            self._course.step()

    def after_epoch(self, val_srcc: float | None) -> None:
        """Tell the plateau what the epoch reached; a mode of "min" in the config watches 1 - SRCC."""
        if self._plateau is not None:
            reached = -1.0 if val_srcc is None else val_srcc
            self._plateau.step(reached if self._plateau.mode == "max" else 1 - reached)

    def state_dict(self) -> dict[str, object]:
        inner = self._plateau or self._course
        return dict(inner.state_dict()) if inner is not None else {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        inner = self._plateau or self._course
        if inner is not None:
            inner.load_state_dict(state)


def _decayed(named: Iterable[tuple[str, nn.Parameter]], exempt: set[str], decayed: bool) -> list[nn.Parameter]:
    """The trainable parameters that take weight decay, or the others: vectors, and names in `exempt`."""
    return [
        parameter
        for name, parameter in named
        if parameter.requires_grad and (parameter.ndim > 1 and name not in exempt) == decayed
    ]
