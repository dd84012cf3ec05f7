"""A timm model as a feature extractor, from pixels to pooled features: one row per picture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqa.errors import UserError, first_line
from iqa.model.backbone.networks import create, intermediates, native_size, pretrained_config, unusable
from iqa.model.backbone.pooling import Pooling
from iqa.model.backbone.stages import FrozenStages, Stem
from iqa.model.backbone.weights import load_pretrained


class Backbone(nn.Module):
    """uint8 pictures [B, 3, H, W] -> float32 features [B, num_features].

    The chosen feature maps' statistics stand side by side, early stages first (`pooling`). Quality shows in early
    stages as much as in late ones, and in the spread as much as in the mean.

    Args:
        name: any timm model whose feature maps can be read (`forward_intermediates`).
        pretrained: load pretrained weights (`iqa.model.backbone.weights`); False keeps timm's random ones.
        weights: local weights file, used if `pretrained`.
        stages: "all" feature maps, those before the last ("early"), or the "last" one only.
        pooling, centre_pooling: which statistics.
        image_size: side in pixels to which pictures are resized (square).
        scales: sizes at which it looks, as shares of image_size; the features of all stand side by side.
        frozen_stages: first stages that stay as they are, and that `stem` can run apart from the rest.
        freeze_norm: keep the running statistics of every BatchNorm as they are.

    Attributes:
        num_features: length of a feature row.
        parts: how many of these come from each map, at each scale.
        sides: the side in pixels at each scale.
        mean, std: this backbone's own normalisation of pictures in 0-1, [1, 3, 1, 1]; part of the state dict.
        native_size: side in pixels that it was pretrained at.
        weights_source: where its weights came from.

    Raises:
        UserError: unknown or unusable name, impossible size, no weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        *,
        pretrained: bool,
        weights: str | None = None,
        stages: Literal["all", "early", "last"] = "all",
        pooling: Literal["mean", "mean_std", "bilinear"] = "mean_std",
        centre_pooling: bool = False,
        image_size: int,
        scales: Sequence[float] = (1.0,),
        frozen_stages: int = 0,
        freeze_norm: bool = False,
    ) -> None:
        super().__init__()
        config = pretrained_config(name)
        self.name = name
        self.image_size = image_size
        self.sides = tuple(round(scale * image_size) for scale in scales)
        self.native_size = native_size(name)
        self.pool = Pooling(pooling, centre=centre_pooling)
        self.stages = stages
        self.net: Any = create(name)
        self.weights_source = load_pretrained(self.net, name, weights) if pretrained else "random weights"
        # Convolutions run twice as fast on it, on CPUs and GPUs alike; a transformer does not care.
        self.net.to(memory_format=torch.channels_last)
        self._set_input_size()
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1))
        self._arguments = intermediates(self.net, stages)
        self._drop_last_stage = False
        self.freeze_norm = freeze_norm
        self.frozen_stages = frozen_stages
        self._frozen = FrozenStages(self.net, frozen_stages, self._arguments) if frozen_stages else None
        self.num_features = self._probe()
        self.train()  # what is frozen is in evaluation from the start

    def forward(self, images: Tensor, share: float = 1.0) -> Tensor:
        """Features of pictures.

        Args:
            images: uint8 [B, 3, H, W].
            share: of a whole picture's side that these are, when they are crops: they keep its scale.

        Returns:
            float32 [B, num_features], also under autocast.
        """
        if share != 1 and hasattr(self.net, "set_input_size"):
            raise self._one_size(f"training.crop {share}", "set training.crop to 1")
        return torch.cat([self._features(images, round(side * share)) for side in self.sides], dim=1)

    def stem(self, images: Tensor) -> Stem:
        """What the frozen stages make of uint8 pictures [B, 3, H, W]; for `from_stem`."""
        maps = self._frozen_part.run(self.prepare(images, self.sides[0]))
        return Stem(maps[-1], self.pool(maps))

    def from_stem(self, stem: Stem) -> Tensor:
        """Features, float32 [B, num_features], from what `stem` returned; maps may be crops."""
        later = self._chosen(*self._frozen_part.go_on(stem.maps))[self._frozen_part.early :]
        return torch.cat([stem.features, self.pool(later)], dim=1)

    def frozen_state(self) -> dict[str, Tensor]:
        """The weights of the frozen stages, with what pictures are normalised by."""
        prefixes = ("mean", "std", "pool.", *(f"net.{name}." for name in self._frozen_part.names))
        return {name: tensor for name, tensor in self.state_dict().items() if name.startswith(prefixes)}

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training; frozen stages, and with `freeze_norm` every BatchNorm, stay in evaluation."""
        super().train(mode)
        if self._frozen is not None:
            self._frozen.hold()
        if self.freeze_norm:
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def prepare(self, images: Tensor, side: int) -> Tensor:
        """Resize uint8 [B, 3, H, W] to `side` (bicubic, antialiased) and normalise, on its device."""
        pixels = images.float()
        if pixels.shape[-2:] != (side, side):
            pixels = F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True).clamp(0, 255)
        pixels = (pixels / 255 - self.mean) / self.std
        return pixels.contiguous(memory_format=torch.channels_last)

    def _features(self, images: Tensor, side: int) -> Tensor:
        final, stages = self.net.forward_intermediates(self.prepare(images, side), **self._arguments)
        pooled: Tensor = self.pool(self._chosen(final, stages))
        return pooled

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that timm exempts from weight decay (position embeddings and the like)."""
        exempt: set[str] = getattr(self.net, "no_weight_decay", set)()
        return {f"net.{name}" for name in exempt}

    @property
    def _frozen_part(self) -> FrozenStages:
        if self._frozen is None:
            raise UserError(f"backbone '{self.name}' has no frozen stages", fix="set model.frozen_stages")
        return self._frozen

    def _chosen(self, final: Tensor, stages: list[Tensor]) -> list[Tensor]:
        """The feature maps that are pooled [B, C, H, W], the final one last."""
        final = self._channels_first(final)
        if self.stages == "last":
            return [final]
        early = stages[:-1] if self._drop_last_stage else stages
        return early if self.stages == "early" else [*early, final]

    def _channels_first(self, final: Tensor) -> Tensor:
        """The final map as [B, C, H, W] or [B, C, positions], without class and register tokens."""
        if final.ndim == 3:  # [B, tokens, C]
            return final[:, getattr(self.net, "num_prefix_tokens", 0) :].transpose(1, 2)
        if getattr(self.net, "output_fmt", "NCHW") == "NHWC":
            return final.permute(0, 3, 1, 2)
        return final

    def _set_input_size(self) -> None:
        """Transformers are built for one input size; resample their position embeddings for another."""
        if not hasattr(self.net, "set_input_size"):
            return
        if len(self.sides) > 1:
            raise self._one_size(f"model.scales of {list(self.sides)} px", "set model.scales to [1]")
        if self.image_size == self.native_size:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # timm's own resampling uses indexing torch retires
                self.net.set_input_size(img_size=(self.image_size, self.image_size))
        except (AssertionError, RuntimeError, ValueError, ZeroDivisionError) as error:
            raise self._wrong_size(error) from error

    @torch.no_grad()
    def _probe(self) -> int:
        """Run one black picture: fixes which maps are pooled, and counts the features."""
        training = self.net.training
        self.net.eval()
        blank = torch.zeros(1, 3, min(self.sides), min(self.sides))
        try:
            final, stages = self.net.forward_intermediates(blank, **self._arguments)
            if not isinstance(final, Tensor):
                raise unusable(self.name, "does not end in one feature map")
            # The last stage is the final map or what its last normalisation was fed: one of them is enough.
            channels = self._channels_first(final).shape[1]
            self._drop_last_stage = bool(stages) and stages[-1].shape[1] == channels
            if not self._chosen(final, stages):
                raise unusable(self.name, "has one feature map, and model.stages 'early' leaves out the last")
            self.pool.prepare(each.shape[1] for each in self._chosen(final, stages))
            self.parts = [[self.pool([each]).shape[1] for each in self._chosen(final, stages)]] * len(self.sides)
            features = int(self(blank.to(torch.uint8)).shape[1])
            if self.frozen_stages and not self._parts_agree():
                raise UserError(
                    f"backbone '{self.name}' cannot be trained behind its first stages",
                    got=f"model.frozen_stages {self.frozen_stages}",
                    fix="set model.frozen_stages to 0",
                )
        except (AssertionError, RuntimeError, ValueError) as error:
            raise self._wrong_size(error) from error
        self.net.train(training)
        return features

    def _parts_agree(self) -> bool:
        """Whether the frozen stages and the rest, one after the other, are the whole network."""
        random = torch.Generator().manual_seed(0)
        picture = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8, generator=random)
        return torch.allclose(self(picture), self.from_stem(self.stem(picture)), rtol=1e-3, atol=1e-4)

    def _one_size(self, got: str, fix: str) -> UserError:
        return UserError(f"backbone '{self.name}' sees one size only", got=got, fix=fix)

    def _wrong_size(self, error: Exception) -> UserError:
        return UserError(
            f"backbone '{self.name}' does not take pictures of {self.image_size} px",
            got=first_line(error),
            fix=f"set data.image_size, for instance to {self.native_size}",
        )
