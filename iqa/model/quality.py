"""The quality model: backbone, mixture and head put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from iqa.config import MixtureConfig, ModelConfig
from iqa.errors import UserError
from iqa.model.backbone import AnyBackbone, Backbone, Stem, build_backbone
from iqa.model.head import QualityHead
from iqa.model.mixture import EmFit, GaussianMixture
from iqa.model.reduction import Reduction, build_reduction, seen_by_heads
from iqa.model.typicality import Distance

_MANY = 2048  # features: with fewer, the casts cost what the multiplication saves


@dataclass(frozen=True)
class Prediction:
    """What the model says of B pictures."""

    #: Quality, float32 [B]; near 0-1, higher is better: the mean over heads.
    score: Tensor
    #: What each head says [M, B]; each learns by itself.
    by_head: Tensor
    #: The features as the head sees them [B, feature_dim].
    embedding: Tensor
    #: The point that the mixture sees, float32 [B, d]; None without a mixture, as all below.
    z: Tensor | None = None
    #: P(cluster | picture) [B, K].
    responsibilities: Tensor | None = None
    #: How usual the picture is among the training pictures, in nats [B].
    log_likelihood: Tensor | None = None
    #: What trains the mixture, two scalars in nats: see `MixtureOutput`.
    unlikelihood: Tensor | None = None
    imbalance: Tensor | None = None
    #: How far its feature maps are from the training pictures', float32 [B]; None where that was not found.
    distance: Tensor | None = None


class QualityModel(nn.Module):
    """uint8 pictures [B, 3, H, W] -> `Prediction`.

    Until EM has started the mixture, the head sees zeros in its place.

    Args:
        backbone: pooled features of pictures.
        head: embedding, projection and score.
        mixture: over the head's projection; None for the control without one.
        reduction: of a frozen backbone's features; None hands them to the head as they are.
        companions: further heads over the same mixture, which stands on the first head alone; together a deep
            ensemble (Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017).
        seen: the columns of the features that each head sees, the first head's first; None: each sees all.
        freeze_backbone: keep the backbone's weights and running statistics as they are.
        mirror: in evaluation, let a trained backbone see each picture and its mirror image, and take the mean of
            their features.

    Attributes:
        usual: tells how unlike the training pictures a picture looks; found once training is over, else None.
    """

    def __init__(
        self,
        backbone: AnyBackbone,
        head: QualityHead,
        mixture: GaussianMixture | None,
        reduction: Reduction | None = None,
        companions: Iterable[QualityHead] = (),
        seen: Sequence[slice] | None = None,
        *,
        freeze_backbone: bool = False,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.mixture = mixture
        self.reduction = reduction
        self.companions = nn.ModuleList(companions)
        self._seen = list(seen or [slice(None)] * (1 + len(self.companions)))
        self.usual: Distance | None = None
        self.freeze_backbone = freeze_backbone
        # A frozen backbone's features are kept, and a mirrored copy of them would cost as much again.
        self.mirror = mirror and not freeze_backbone
        if freeze_backbone:
            self.backbone.requires_grad_(False).eval()

    @classmethod
    def from_config(
        cls,
        model: ModelConfig,
        image_size: int,
        *,
        load_weights: bool = True,
        score_mean: float = 0.5,
        backbone: AnyBackbone | None = None,
    ) -> QualityModel:
        """Build the model that a configuration describes.

        Args:
            model: the section "model".
            image_size: side in pixels that the backbone sees.
            load_weights: False leaves pretrained weights out, for a state dict that is loaded next.
            score_mean: score that the untrained model starts at.
            backbone: one that was built before for the same settings, in place of a new one.

        Raises:
            UserError: unknown backbone, impossible size, no weights.
        """
        if backbone is None:
            backbone = build_backbone(model, image_size, load_weights=load_weights)
        reduction = build_reduction(model, backbone)
        seen = seen_by_heads(model, backbone, reduction)
        settings = model.mixture
        mixture = None
        if model.n_clusters:
            mixture = GaussianMixture(
                model.n_clusters,
                settings.dim,
                covariance=settings.covariance,
                min_variance=settings.min_variance,
                reseed_below=settings.reseed_below,
            )
        heads = [
            QualityHead(
                each.number,
                normalised=each.widths,
                standardise=model.standardise and not model.freeze_backbone,
                feature_dim=model.feature_dim,
                hidden_dim=model.hidden_dim,
                dropout=model.dropout,
                projection_dim=settings.dim if mixture and first else 0,
                encoding_size=mixture.encoding_size if mixture else 0,
                score_mean=score_mean,
            )
            for first, each in zip((True, *[False] * (len(seen) - 1)), seen, strict=True)
        ]
        freeze, mirror = model.freeze_backbone, model.mirror
        columns = [each.columns for each in seen]
        return cls(backbone, heads[0], mixture, reduction, heads[1:], columns, freeze_backbone=freeze, mirror=mirror)

    def forward(self, images: Tensor, share: float = 1.0) -> Prediction:
        """Predict from pictures, uint8 [B, 3, H, W], or from crops that are `share` of a picture's side."""
        return self.from_pooled(self.pooled(images, share))

    def from_pooled(self, pooled: Tensor) -> Prediction:
        """Predict from what `pooled` returned [B, backbone.num_features]."""
        prediction = self.from_features(self._reduced(pooled))
        if self.usual is None or self.training:
            return prediction
        return replace(prediction, distance=self.usual(pooled))

    def features(self, images: Tensor, share: float = 1.0) -> Tensor:
        """What `from_features` takes [B, D]: the pooled features, reduced if they are to be."""
        return self._reduced(self.pooled(images, share))

    def pooled(self, images: Tensor, share: float = 1.0) -> Tensor:
        """The backbone's pooled features, float32 [B, backbone.num_features]; without gradient if it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone):
            features: Tensor = self.backbone(images, share)
            if self.mirror and not self.training:
                features = (features + self.backbone(images.flip(-1))) / 2
            return features

    def pooled_behind(self, stem: Stem, views: int = 1) -> Tensor:
        """The same of what `Backbone.stem` made of B pictures, each followed by its other views."""
        backbone = cast(Backbone, self.backbone)
        features: Tensor = backbone.from_stem(stem).unflatten(0, (-1, views)).mean(dim=1)
        return features

    def from_features(self, features: Tensor) -> Prediction:
        """Predict from what `features` returned [B, D].

        Mixed precision pays while a backbone trains, or where features are many; a head of few is quick by itself.
        """
        many = self.reduction is None and features.shape[1] >= _MANY
        mixed = self.training and (not self.freeze_backbone or many)
        with torch.autocast(features.device.type, enabled=mixed and torch.is_autocast_enabled(features.device.type)):
            return self._judge(features if mixed else features.float())

    def _reduced(self, pooled: Tensor) -> Tensor:
        return pooled if self.reduction is None else cast(Tensor, self.reduction(pooled))

    def _judge(self, features: Tensor) -> Prediction:
        embedding = self.head.embed(features[:, self._seen[0]])
        z = self.head.project(embedding)
        if self.mixture is None or z is None:
            scores = self._by_head(features, embedding, None)
            return Prediction(scores.mean(0), scores, embedding)
        output = self.mixture(z)
        with torch.no_grad():  # the mixture's own losses alone teach it
            encoding = output.encoding * self.mixture.fitted
        scores = self._by_head(features, embedding, encoding)
        said = output.responsibilities, output.log_likelihood, output.unlikelihood, output.imbalance
        return Prediction(scores.mean(0), scores, embedding, z, *said)

    def _by_head(self, features: Tensor, embedding: Tensor, encoding: Tensor | None) -> Tensor:
        companions = cast(Iterable[QualityHead], self.companions)
        scores = [self.head.score(embedding, encoding)]
        for head, columns in zip(companions, self._seen[1:], strict=True):
            scores.append(head.score(head.embed(features[:, columns]), encoding))
        return torch.stack(scores)

    def start_mixture(self, embeddings: Tensor, sorts: Tensor, settings: MixtureConfig, *, seed: int = 0) -> EmFit:
        """Start the mixture by EM over the training pictures' embeddings [N, feature_dim].

        The projection is first fitted to these pictures, so that EM sees points of the scale that training shows
        it next.

        Args:
            sorts: int64 [N], what happened to each picture; clusters keep to what tells these apart.

        Raises:
            UserError: more clusters than pictures, or there is no mixture.
            IqaError: EM failed.
        """
        if self.mixture is None or self.head.projection is None:
            raise UserError("this model has no mixture to start", fix="set model.n_clusters above 0")
        z = self.head.projection.calibrate(embeddings, sorts)
        return self.mixture.fit_em(
            z,
            seed=seed,
            n_init=settings.n_init,
            reg_covar=settings.reg_covar,
            max_iter=settings.max_iter,
        )

    def train(self, mode: bool = True) -> QualityModel:
        """Switch to training; a frozen backbone stays in evaluation, its batch statistics as they are."""
        if not self.freeze_backbone:
            return super().train(mode)
        # The backbone's hundreds of modules are in evaluation since it was frozen, and need no telling.
        self.training = mode
        for part in (self.head, self.companions, self.mixture, self.reduction):
            if part is not None:
                part.train(mode)
        return self

    def learning_state(self) -> list[Tensor]:
        """What a training changes: all parameters and buffers, but for those of a frozen backbone and its reduction."""
        parts = [self.head, self.companions, self.mixture, None if self.freeze_backbone else self.backbone]
        return [each for part in parts if part is not None for each in part.state_dict().values()]

    def parameter_count(self) -> int:
        """Number of parameters, frozen ones included."""
        return sum(parameter.numel() for parameter in self.parameters())
