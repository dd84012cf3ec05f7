"""The training section: the optimisation and the parts of its loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from iqa.config.section import Positive, Section

#: What each scheduler can be told.
SCHEDULER_PARAMS: dict[str, set[str]] = {
    "reduce_on_plateau": {"mode", "factor", "patience", "min_lr", "threshold", "cooldown"},
    "cosine": {"eta_min"},
    "one_cycle": {"pct_start", "div_factor", "final_div_factor"},
    "none": set(),
}


class LossConfig(Section):
    """Weights of the parts of the loss."""

    #: Of the smooth L1 distance between predicted and true scores.
    smooth_l1: Annotated[float, Field(ge=0)] = 1.0
    #: Of 1 - PLCC over the batch.
    correlation: Annotated[float, Field(ge=0)] = 0.5
    #: Of the mixture's negative log-likelihood per dimension.
    cluster_loss: Annotated[float, Field(ge=0)] = 0.1
    #: Of the divergence between mean responsibilities and an equal share.
    balance_loss: Annotated[float, Field(ge=0)] = 0.01

    @model_validator(mode="after")
    def _some_quality_loss(self) -> LossConfig:
        if self.smooth_l1 == 0 and self.correlation == 0:
            raise ValueError("training.loss: smooth_l1 and correlation are both 0, so nothing teaches the score")
        return self


class TrainingConfig(Section):
    """The optimisation."""

    #: Passes over the training pictures.
    epochs: Positive = 50
    #: Stop after so many epochs without a better validation SRCC; 0: never.
    early_stopping: Annotated[int, Field(ge=0)] = 0
    #: Of the head; that of backbone and mixture is relative to it.
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    #: The optimiser's; the mixture, biases and norms have none.
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    #: How weights follow gradients.
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    #: How the learning rate changes over the epochs.
    scheduler: Literal["reduce_on_plateau", "cosine", "one_cycle", "none"] = "reduce_on_plateau"
    #: Arguments of the scheduler: mode, factor, patience, min_lr | eta_min | pct_start, div_factor, final_div_factor.
    scheduler_params: dict[str, float | int | str] = Field(default_factory=dict)
    #: The backbone's learning rate relative to the head's.
    backbone_lr_multiplier: Annotated[float, Field(ge=0, le=10)] = 1.0
    #: Largest norm of the gradient; 0 leaves it as it is.
    clip_gradient: Annotated[float, Field(ge=0)] = 1.0
    loss: LossConfig = LossConfig()
    #: Mirror half of the training pictures (quality does not change); a frozen backbone does without.
    flip: bool = True
    #: Share of a picture's side that a training step sees, at a random place; validation, test and scoring see the
    #: whole. A frozen backbone does without.
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    #: The model that is judged and kept is a running mean of the weights with this decay per step; 0: the weights.
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Find out how far scores may be off and which pictures are usual: a frozen backbone's head is trained five
    #: times more; of a trained one half of the validation pictures no longer choose the epoch.
    intervals: bool = True
    #: Of the backbone; "auto": bfloat16 where the hardware has it. Mixture, scores and metrics are float32.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Of the first weights, the order of pictures, dropout and EM.
    seed: Annotated[int, Field(ge=0)] = 0
    #: auto (the first GPU, else the CPU), cpu, mps, cuda or cuda:N.
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"

    @model_validator(mode="after")
    def _known_scheduler_params(self) -> TrainingConfig:
        known = SCHEDULER_PARAMS[self.scheduler]
        for key in self.scheduler_params:
            if key not in known:
                raise ValueError(
                    f"training.scheduler_params: '{key}' is no setting of scheduler '{self.scheduler}'; "
                    f"expected some of {sorted(known) or 'none'}"
                )
        return self
