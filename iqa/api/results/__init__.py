"""What calls of the library give back."""

from iqa.api.results.experiments import (
    ComparisonResult,
    EvaluationResult,
    RepeatsResult,
    TrainingResult,
    TuningResult,
)
from iqa.api.results.pictures import AuditResult, ScoringResult
from iqa.api.results.result import Result

__all__ = [
    "AuditResult",
    "ComparisonResult",
    "EvaluationResult",
    "RepeatsResult",
    "Result",
    "ScoringResult",
    "TrainingResult",
    "TuningResult",
]
