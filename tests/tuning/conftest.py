"""The tiny experiment of the training's tests."""

from training.conftest import tiny

__all__ = ["tiny"]
