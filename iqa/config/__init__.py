"""Every setting of an experiment, once: its name, range, default and meaning.

Each module holds a section; `reading` takes them from JSON and the command line, `recipes` are the standard
experiments.
"""

from iqa.config.data import ColumnsConfig, DataConfig
from iqa.config.experiment import ExperimentConfig, TrackingConfig
from iqa.config.model import MixtureConfig, ModelConfig
from iqa.config.training import LossConfig, TrainingConfig
from iqa.config.tuning import TuningConfig

__all__ = [
    "ColumnsConfig",
    "DataConfig",
    "ExperimentConfig",
    "LossConfig",
    "MixtureConfig",
    "ModelConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TuningConfig",
]
