"""The parts of a training, each from the config: size of input, backbone, model, feed.

For a session, for tuning's trials, which share parts, and for scoring, which feeds a model as its training did.
"""

from __future__ import annotations

import torch

from iqa.config import ExperimentConfig
from iqa.data.prepared import PixelStore
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.several import AnyBackbone, build_backbone, sensible_image_size
from iqa.model.quality import QualityModel
from iqa.model.reduction import Reduction
from iqa.progress import one_step
from iqa.training.feeds import FeatureFeed, Feed, PixelFeed, StemFeed
from iqa.training.frozen.features import cached_features
from iqa.training.frozen.stems import kept_stems
from iqa.training.frozen.table import MOST_NUMBERS, Features, drawn


def input_size(config: ExperimentConfig, store: PixelStore) -> int:
    """The side in pixels of what the backbone sees."""
    return config.data.image_size or sensible_image_size(
        config.model.backbone, store.views.side, whole=config.data.scored
    )


def start_backbone(config: ExperimentConfig, image_size: int, *, load_weights: bool = True) -> AnyBackbone:
    """The backbone that a training starts from, the same for the same seed.

    Raises:
        UserError: unknown backbone, impossible size, no weights.
    """
    torch.manual_seed(config.training.seed)
    return build_backbone(config.model, image_size, load_weights=load_weights)


def build_model(config: ExperimentConfig, backbone: AnyBackbone, image_size: int, device: torch.device) -> QualityModel:
    """The model that a training starts from, the same for the same seed, whatever made the backbone."""
    torch.manual_seed(config.training.seed)
    return QualityModel.from_config(config.model, image_size, backbone=backbone).to(device)


def build_feed(
    model: QualityModel,
    store: PixelStore,
    config: ExperimentConfig,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> Feed:
    """Cached features where the backbone is frozen, the maps of its frozen stages where some are, else pictures."""
    batch_size, flip, crop = config.data.batch, config.training.flip, config.training.crop
    if config.model.frozen_stages and isinstance(model.backbone, Backbone):
        stems = kept_stems(store, model.backbone, config, device, precision, progress=progress)
        return StemFeed(store, stems, batch_size, device, flip=flip, crop=crop, mirror=config.model.mirror)
    if not config.model.freeze_backbone:
        return PixelFeed(store, batch_size, device, flip=flip, crop=crop)
    features = cached_features(store, model.backbone, config.data, device, precision, progress=progress)
    if model.reduction is not None:
        features = reduced(model.reduction, features, store, device, progress=progress)
    return FeatureFeed(store, features.on(device), batch_size, device)


def reduced(
    reduction: Reduction, features: Features, store: PixelStore, device: torch.device, *, progress: bool | None = None
) -> Features:
    """Features of every square [R, D] -> [R, dim], on the device; found from the training pictures if not known yet."""
    with one_step(f"principal components of {len(features):,} squares", shown=progress):
        if not reduction.fitted:
            squares, _ = store.squares(store.indices("train"))
            reduction.fit(features.rows(drawn(squares, MOST_NUMBERS // features.shape[1])).to(device))
        with torch.no_grad():
            return Features([torch.cat([reduction(part.to(device)) for part in features.in_turn()])])
