"""One experiment, whole: its sections, its name, and where it is tracked."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from iqa.config.data import DataConfig
from iqa.config.model import ModelConfig
from iqa.config.section import Section
from iqa.config.training import TrainingConfig
from iqa.config.tuning import TuningConfig


class TrackingConfig(Section):
    """Where MLflow writes; null leaves MLflow's own defaults and environment variables in charge."""

    #: Whether anything goes to MLflow; false leaves it out.
    enabled: bool = True
    #: MLflow's server or database; null: MLFLOW_TRACKING_URI, else ./mlflow.db.
    uri: str | None = None
    #: Experiment in MLflow that runs go to; null: MLFLOW_EXPERIMENT_NAME, else iqa.
    experiment: str | None = None
    #: Log the use of processor, memory, disk, network and GPU.
    system_metrics: bool = True
    #: Log the trained model so that mlflow.pyfunc can load and serve it.
    log_model: bool = True


class ExperimentConfig(Section):
    """One experiment, whole."""

    #: Of its folder under experiments/ and of its run in MLflow.
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
        return dict(flatten(self.to_dict()))


def flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested values under their dotted names."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return pairs
