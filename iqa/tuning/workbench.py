"""What the trainings of a study share, kept in memory: pictures, backbones, features. No trial starts from cold."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.data.prepared import PixelStore, prepare
from iqa.device import choose_device, choose_precision
from iqa.model.backbone.several import AnyBackbone
from iqa.model.quality import QualityModel
from iqa.model.reduction import Reduction
from iqa.training.batch_size import fix_batch_size
from iqa.training.build import build_feed, build_model, input_size, reduced, start_backbone
from iqa.training.feeds import FeatureFeed, Feed
from iqa.training.frozen.features import cached_features
from iqa.training.frozen.table import Features
from iqa.training.loop import Trainer

#: Of each kind of thing so many are kept: a study over backbones goes back and forth between them.
KEPT = 4


class _Kept:
    """The last things that were made, by what they were made from."""

    def __init__(self) -> None:
        self._things: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._things:
            while len(self._things) >= KEPT:
                self._things.popitem(last=False)
            self._things[key] = make()
        self._things.move_to_end(key)
        return self._things[key]


class Workbench:
    """Builds trainers for one config after another on one device.

    Args:
        config: whose pictures are used; the configs that follow differ in model and training.

    Raises:
        UserError: pictures, weights or a device that cannot be used.
    """

    def __init__(self, config: ExperimentConfig, *, progress: bool | None = None) -> None:
        self.device = choose_device(config.training.device)
        self._progress = progress
        self._store = prepare(config.data, progress=progress, once=config.model.looks_once)
        self._stores, self._backbones, self._features, self._reductions = _Kept(), _Kept(), _Kept(), _Kept()

    @property
    def training_pictures(self) -> int:
        return len(self._store.indices("train"))

    def store(self, split: int | None = None) -> PixelStore:
        """The pictures; with `split`, training and validation drawn anew by that seed, the test pictures as ever."""
        if split is None:
            return self._store
        store: PixelStore = self._stores.get(split, lambda: self._store.redrawn(split))
        return store

    def trainer(self, config: ExperimentConfig, split: int | None = None) -> Trainer:
        """A trainer as `train` would build it, on what is at hand.

        Raises:
            IqaError: weights that cannot be had, or not enough memory.
        """
        store = self.store(split)
        size = input_size(config, store)
        model = build_model(config, self._backbone(config, size), size, self.device)
        config = fix_batch_size(config, model, store, self.device)
        return Trainer(model, self._feed(config, store, model), config, self.device, progress=False)

    def _backbone(self, config: ExperimentConfig, size: int) -> AnyBackbone:
        key = (*_look(config), size, config.model.freeze_backbone)
        backbone: AnyBackbone = self._backbones.get(key, lambda: start_backbone(config, size).to(self.device))
        # One that trains is a copy, so that the next trial starts where this one did.
        return backbone if config.model.freeze_backbone else copy.deepcopy(backbone)

    def _feed(self, config: ExperimentConfig, store: PixelStore, model: QualityModel) -> Feed:
        precision = choose_precision(config.training.precision, self.device)
        if not config.model.freeze_backbone:
            return build_feed(model, store, config, self.device, precision, self._progress)
        key = (*_look(config), input_size(config, store), precision)
        features = self._features.get(
            key,
            lambda: cached_features(
                store, model.backbone, config.data, self.device, precision, progress=self._progress
            ).on(self.device),
        )
        if model.reduction is not None:
            features = self._reduced(key, features, model.reduction, store)
        return FeatureFeed(store, features, config.data.batch, self.device)

    def _reduced(self, key: Hashable, features: Features, reduction: Reduction, store: PixelStore) -> Features:
        trained_on = hashlib.sha256(store.indices("train").numpy().tobytes()).hexdigest()

        def make() -> tuple[dict[str, Tensor], Features]:
            values = reduced(reduction, features, store, self.device, progress=self._progress)
            return reduction.state_dict(), values

        kept: tuple[dict[str, Tensor], Features] = self._reductions.get(
            (key, tuple(reduction.columns), trained_on), make
        )
        reduction.load_state_dict(kept[0])
        return kept[1]


def _look(config: ExperimentConfig) -> tuple[Hashable, ...]:
    """What a backbone's features depend on, of the model section."""
    model = config.model
    # Random weights are another backbone for every seed.
    seed = None if model.pretrained or model.weights else config.training.seed
    behaviour = model.frozen_stages, model.freeze_norm
    looks = (model.backbone, model.scales, model.stages, model.pooling, model.centre_pooling)
    return (*looks, model.pretrained, model.weights, seed, behaviour)
