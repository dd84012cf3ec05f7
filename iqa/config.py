"""Every setting of an experiment, once: its name, range, default and meaning.

`iqa.config_file` reads them from JSON and the command line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from iqa.config_data import DataConfig, Positive, Section, Share
from iqa.config_tuning import TuningConfig


class MixtureConfig(Section):
    """The Gaussian mixture over the normalised projection of the features."""

    #: Dimensions of the projection; many dimensions drive responsibilities to 0 and 1.
    dim: Annotated[int, Field(ge=1, le=512)] = 16
    covariance: Literal["diag", "tied"] = "diag"
    #: Epochs without the mixture before EM starts it.
    warmup_epochs: Annotated[int, Field(ge=0)] = 1
    #: Starts of EM, of which the likeliest is kept.
    n_init: Positive = 4
    max_iter: Positive = 100
    reg_covar: Annotated[float, Field(gt=0)] = 1e-3
    min_variance: Annotated[float, Field(gt=0)] = 1e-3
    #: The mixture's learning rate relative to the head's: its centres must keep up with a projection that moves.
    lr_multiplier: Annotated[float, Field(gt=0, le=1000)] = 100.0
    #: A component below this share of an equal share is dead and is started anew.
    reseed_below: Share = 0.1


class ModelConfig(Section):
    """Backbone, mixture and head."""

    #: A timm model; several joined by "+" put their features side by side.
    backbone: str = "resnet18"
    #: Sizes at which the backbone looks at a picture, as shares of data.image_size; their features stand side by side.
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=4)], ...], Field(min_length=1, max_length=8)] = (1.0,)
    feature_dim: Positive = 512
    #: Components of the mixture; 0 removes it (the control of every comparison).
    n_clusters: Annotated[int, Field(ge=0, le=1024)] = 8
    hidden_dim: Positive = 512
    #: Heads that start differently, learn each by itself, and are averaged.
    heads: Annotated[int, Field(ge=1, le=64)] = 1
    #: Further heads for each backbone at each scale, which see its features alone, are taught the same and averaged
    #: with the others: heads that see different things err differently.
    part_heads: Annotated[int, Field(ge=0, le=16)] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    freeze_backbone: bool = False
    #: First stages of a ResNet, EfficientNet or MobileNet that stay as they are while the rest is trained. What they
    #: make of every picture is kept, so that a step costs only what is trained: several times less at large pictures.
    frozen_stages: Annotated[int, Field(ge=0, le=16)] = 0
    #: Keep the running statistics of a trained backbone's BatchNorm as they are: better for small batches.
    freeze_norm: bool = False
    #: Principal components of a frozen backbone's features that the head sees; 0: all features. Faster, and better
    #: where every picture has a content of its own; worse where many pictures share few contents. A trained
    #: backbone's features are never reduced. Heads that see a part see half as many.
    pca_dim: Annotated[int, Field(ge=0, le=8192)] = 0
    #: Standardise each feature of a trained backbone by what the first batches show; a frozen one does without.
    standardise: bool = False
    #: Judge a picture by itself and its mirror image together; a frozen backbone does without.
    mirror: bool = True
    #: ImageNet weights; false starts from random ones.
    pretrained: bool = True
    #: Local weights file (.pth or .safetensors), used before any installed package or hub.
    weights: str | None = None
    #: Feature maps that are pooled: every stage's, or only the last.
    stages: Literal["all", "last"] = "all"
    #: How: mean and standard deviation of each map, the mean alone, or both and the covariances of maps ("bilinear":
    #: more features, for a frozen backbone with pca_dim).
    pooling: Literal["mean_std", "mean", "bilinear"] = "mean_std"
    #: Mean and standard deviation once more, with positions weighted to the picture's centre, where people look first.
    centre_pooling: bool = False
    mixture: MixtureConfig = MixtureConfig()

    @model_validator(mode="after")
    def _several_parts(self) -> ModelConfig:
        if self.part_heads and "+" not in self.backbone and len(self.scales) == 1:
            raise ValueError("model.part_heads needs several backbones or several model.scales")
        return self

    @model_validator(mode="after")
    def _one_stem(self) -> ModelConfig:
        if not self.frozen_stages:
            return self
        hindrances = {
            "model.freeze_backbone": self.freeze_backbone,
            "several backbones": "+" in self.backbone,
            "several model.scales": len(self.scales) > 1,
            "model.stages 'last'": self.stages == "last",
        }
        if found := [name for name, there in hindrances.items() if there]:
            raise ValueError(
                f"model.frozen_stages: got {self.frozen_stages} with {found[0]}, which it does not go with"
            )
        return self

    @model_validator(mode="after")
    def _room_for_projection(self) -> ModelConfig:
        if self.n_clusters and self.mixture.dim > self.feature_dim:
            raise ValueError(
                f"model.mixture.dim: got {self.mixture.dim}, expected at most model.feature_dim ({self.feature_dim})"
            )
        return self


class LossConfig(Section):
    """Weights of the parts of the loss."""

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

    epochs: Positive = 50
    #: Stop after so many epochs without a better validation SRCC; 0: never.
    early_stopping: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
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
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
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


SCHEDULER_PARAMS: dict[str, set[str]] = {
    "reduce_on_plateau": {"mode", "factor", "patience", "min_lr", "threshold", "cooldown"},
    "cosine": {"eta_min"},
    "one_cycle": {"pct_start", "div_factor", "final_div_factor"},
    "none": set(),
}


class TrackingConfig(Section):
    """Where MLflow writes; null leaves MLflow's own defaults and environment variables in charge."""

    enabled: bool = True
    uri: str | None = None
    experiment: str | None = None
    system_metrics: bool = True
    #: Log the trained model so that mlflow.pyfunc can load and serve it.
    log_model: bool = True


class ExperimentConfig(Section):
    """One experiment, whole."""

    experiment_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    tracking: TrackingConfig = TrackingConfig()
    tuning: TuningConfig = TuningConfig()

    @model_validator(mode="after")
    def _enough_pictures(self) -> ExperimentConfig:
        pictures = self.data.samples("train")
        if pictures is not None and self.model.n_clusters > pictures:
            raise ValueError(
                f"model.n_clusters: {self.model.n_clusters} clusters cannot be found in "
                f"{pictures} training pictures; lower it or raise data.train_samples"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON."""
        return self.model_dump(mode="json")

    def flat(self) -> dict[str, Any]:
        """Every setting under its dotted name, such as {"model.n_clusters": 8}."""
        return dict(_flatten(self.to_dict()))


def _flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return pairs
