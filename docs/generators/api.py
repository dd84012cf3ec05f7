"""The Python API: the functions that `iqa` exports, and what they return, for autodoc."""

from __future__ import annotations

import inspect

import iqa

#: What the functions return, by what it is for; their public members are described with them.
RETURNED = {
    "What functions return": (
        "iqa.api.results.result.Result",
        "iqa.api.results.experiments.TrainingResult",
        "iqa.api.results.experiments.EvaluationResult",
        "iqa.api.results.experiments.RepeatsResult",
        "iqa.api.results.experiments.ComparisonResult",
        "iqa.api.results.experiments.TuningResult",
        "iqa.api.results.pictures.ScoringResult",
        "iqa.api.results.pictures.AuditResult",
        "iqa.records.EpochRecord",
    ),
    "A loaded model": ("iqa.scoring.base.PictureScorer", "iqa.scoring.ensemble.Ensemble"),
    "A model taken away": (
        "iqa.deploy.export.exporting.Exported",
        "iqa.deploy.promotion.Promotion",
        "iqa.deploy.promotion.Decision",
    ),
    "Failures": ("iqa.errors.IqaError", "iqa.errors.UserError", "iqa.errors.Interrupted"),
}


def api() -> str:
    """A heading and a directive of autodoc for each."""
    parts = ["## Functions"]
    for name in iqa.__all__:
        home = inspect.getmodule(getattr(iqa, name))
        assert home is not None
        parts += [f"### iqa.{name}", directive("autofunction", f"iqa.{name}")]
    for title, classes in RETURNED.items():
        parts += [f"## {title}", *(directive("autoclass", each, "members") for each in classes)]
    return "\n\n".join(parts)


def directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   :{option}:" for option in options)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"
