"""CNN + GMM + MLP image quality assessment, tracked by MLflow."""

__version__ = "0.1.0"
