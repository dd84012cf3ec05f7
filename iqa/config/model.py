"""The model section: backbone, mixture and head."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from iqa.config.section import Positive, Section, Share


class MixtureConfig(Section):
    """The Gaussian mixture over the normalised projection of the features."""

    #: Dimensions of the projection; many dimensions drive responsibilities to 0 and 1.
    dim: Annotated[int, Field(ge=1, le=512)] = 16
    #: A variance for each component and dimension ("diag"), or one full covariance for all components ("tied").
    covariance: Literal["diag", "tied"] = "diag"
    #: Epochs without the mixture before EM starts it.
    warmup_epochs: Annotated[int, Field(ge=0)] = 1
    #: Starts of EM, of which the likeliest is kept.
    n_init: Positive = 4
    #: Rounds of EM at most.
    max_iter: Positive = 100
    #: Added to the diagonal of each covariance that EM finds.
    reg_covar: Annotated[float, Field(gt=0)] = 1e-3
    #: Floor under every variance in training.
    min_variance: Annotated[float, Field(gt=0)] = 1e-3
    #: The mixture's learning rate relative to the head's: its centres must keep up with a projection that moves.
    lr_multiplier: Annotated[float, Field(gt=0, le=1000)] = 100.0
    #: A component below this share of an equal share is dead and is started anew.
    reseed_below: Share = 0.1


class ModelConfig(Section):
    """Backbone, mixture and head."""

    #: A timm model, also as the hub calls it (timm/NAME, hf-hub:timm/NAME); several joined by "+" put their features
    #: side by side.
    backbone: str = "resnet18"
    #: Sizes at which the backbone looks at a picture, as shares of data.image_size; their features stand side by side.
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=4)], ...], Field(min_length=1, max_length=8)] = (1.0,)
    #: Numbers of the embedding, which stands between features and head.
    feature_dim: Positive = 512
    #: Components of the mixture; 0 removes it (the control of every comparison).
    n_clusters: Annotated[int, Field(ge=0, le=1024)] = 8
    #: Width of the head's hidden layer.
    hidden_dim: Positive = 512
    #: Heads that start differently, learn each by itself, and are averaged.
    heads: Annotated[int, Field(ge=1, le=64)] = 1
    #: Further heads for each backbone at each scale, which see its features alone, are taught the same and averaged
    #: with the others: heads that see different things err differently.
    part_heads: Annotated[int, Field(ge=0, le=16)] = 0
    #: Share of the embedding and of the hidden layer that a training step leaves out.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    #: Leave the backbone as it is: its features are computed once and kept, and the head alone is trained.
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
    #: Feature maps that are pooled: every stage's, all but the last, which knows what a picture shows better than how
    #: good it is, or only the last.
    stages: Literal["all", "early", "last"] = "all"
    #: What is normalised in a picture's features: all together, or those of each map by themselves, so that large
    #: maps do not drown small ones.
    normalise: Literal["together", "by_map"] = "together"
    #: How: mean and standard deviation of each map, the mean alone, or both and the covariances of maps ("bilinear":
    #: more features, for a frozen backbone with pca_dim).
    pooling: Literal["mean_std", "mean", "bilinear"] = "mean_std"
    #: Mean and standard deviation once more, with positions weighted to the picture's centre, where people look first.
    centre_pooling: bool = False
    mixture: MixtureConfig = MixtureConfig()

    @property
    def looks_once(self) -> bool:
        """Whether what is kept of a picture's features or maps takes the picture's place in training."""
        return self.freeze_backbone or self.frozen_stages > 0

    @field_validator("backbone")
    @classmethod
    def _as_timm_calls_it(cls, name: str) -> str:
        return "+".join(re.sub(r"^\s*(hf[-_]hub:)?timm/", "", part) for part in name.split("+"))

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
            f"model.stages '{self.stages}'": self.stages != "all",
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
