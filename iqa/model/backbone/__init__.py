"""Backbones: pixels in, pooled features out; their weights; several side by side."""

from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.several import AnyBackbone, SideBySide, build_backbone, members, sensible_image_size
from iqa.model.backbone.stages import Stem

__all__ = ["AnyBackbone", "Backbone", "SideBySide", "Stem", "build_backbone", "members", "sensible_image_size"]
