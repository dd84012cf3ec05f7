"""What is given back of experiments: trained, tested, on several splits, compared, tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.api.results.result import MEASURES, Result, number, with_interval
from iqa.config import ExperimentConfig
from iqa.errors import UserError, nearest
from iqa.records import EpochRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iqa.evaluation.report import Report


@dataclass(frozen=True, repr=False)
class TrainingResult(Result):
    """A training.

    Attributes:
        config: what it was trained with, every setting settled.
        history: a record for each epoch.
        best: the epoch that best_model.pth holds.
        score_name: what its scores imitate, "MOS" or "pseudo-MOS".
    """

    config: ExperimentConfig
    folder: Path
    history: Sequence[EpochRecord]
    best: EpochRecord | None
    score_name: str
    link: str | None = None

    @property
    def title(self) -> str:
        return f"training {self.config.experiment_name} in {self.folder}"

    def figures(self) -> list[tuple[str, str]]:
        told = [("epochs", str(len(self.history)))]
        if best := self.best:
            told += [("best epoch", str(best.epoch))]
            told += [(f"validation {shown}", number(getattr(best, f"val_{name}"))) for name, shown in MEASURES.items()]
        return [*told, ("against", self.score_name)]

    def pictures(self) -> list[Path]:
        return sorted((self.folder / "visualizations").glob("*.png"))

    def plot(self) -> Figure:
        """Loss, SRCC, PLCC and learning rate over the epochs."""
        from iqa.plots.training import training_curves

        best = self.best.epoch if self.best else None
        return training_curves([record.to_dict() for record in self.history], best_epoch=best)


@dataclass(frozen=True, repr=False)
class EvaluationResult(Result):
    """A test of an experiment or an ensemble.

    Attributes:
        name: of what was tested.
        folder: with test_results.json, test_predictions.csv and the figures.
        report: every number, table and layout.
        history: the records of training, one per epoch.
    """

    name: str
    folder: Path
    report: Report
    history: Sequence[Mapping[str, Any]]
    link: str | None = None

    @property
    def title(self) -> str:
        return f"test of {self.name} in {self.folder}"

    @property
    def results(self) -> dict[str, Any]:
        """What test_results.json holds."""
        return self.report.results

    def figures(self) -> list[tuple[str, str]]:
        results = self.results
        whole = [(label, with_interval(results["metrics"][name])) for name, label in MEASURES.items()]
        within = [(f"SRCC within {name}", number(part["srcc"])) for name, part in results["by_subset"].items()]
        return [("pictures", str(results["n"])), *whole, *within, ("against", results["score_name"])]

    def plot(self, name: str = "predictions_scatter") -> Figure:
        """A figure of the report: predictions_scatter, cluster_distribution, features_pca, ...

        Raises:
            UserError: there is no such figure of this test.
        """
        from iqa.plots.report import FIGURES

        known = {file.removesuffix(".png"): draw for file, draw in FIGURES.items()}
        figure = known[name](self.report, self.history) if name in known else None
        if figure is None:
            raise UserError(f"this test has no figure '{name}'", expected=", ".join(known), fix=nearest(name, known))
        return figure


@dataclass(frozen=True, repr=False)
class RepeatsResult(Result):
    """An experiment or an ensemble on several splits.

    Attributes:
        name: of what was trained and tested.
        folder: that holds a folder for each split, and repeats.json.
        summary: what repeats.json holds: each split's figures; median, mean, spread and range over them.
    """

    name: str
    folder: Path
    summary: dict[str, Any]
    link: str | None = None

    @property
    def title(self) -> str:
        return f"{self.name} on {len(self.summary['splits'])} splits in {self.folder}"

    def figures(self) -> list[tuple[str, str]]:
        def told(part: Mapping[str, float]) -> str:
            return f"median {part['median']:.4f} [{part['low']:.4f}, {part['high']:.4f}]"

        test = self.summary["test"]
        rows = [(f"test {MEASURES[name]}", told(part)) for name, part in test.items() if name in MEASURES]
        return rows + [(f"SRCC within {name}", told(part)) for name, part in self.summary["by_subset"].items()]

    def plot(self) -> Figure:
        """Each measure's figures on the splits, with their median."""
        from iqa.plots.several.repeats import splits

        return splits(self.summary, title=f"{self.name}: {len(self.summary['splits'])} splits")


@dataclass(frozen=True, repr=False)
class ComparisonResult(Result):
    """Experiments side by side.

    Attributes:
        folder: with comparison.json, .csv, .md and .png.
        found: what comparison.json holds.
    """

    folder: Path
    found: dict[str, Any]
    link: str | None = None

    @property
    def title(self) -> str:
        return f"comparison in {self.folder}, best by validation: {self.found['best']}"

    def figures(self) -> list[tuple[str, str]]:
        rows = []
        for part in self.found["experiments"]:
            verdict = (part["difference"] or {"verdict": "best by validation"})["verdict"]
            rows.append((part["name"], f"test SRCC {with_interval(part['srcc'])}: {verdict}"))
        return rows

    def plot(self) -> Figure:
        """Test SRCC, distance to the best, and what an epoch costs."""
        from iqa.plots.several.comparison import comparison

        return comparison(self.found)


@dataclass(frozen=True, repr=False)
class TuningResult(Result):
    """A study.

    Attributes:
        folder: with recommendations.json, .md, .png and Optuna's figures.
        findings: what recommendations.json holds.
        tuned: the recommended config, ready to be trained.
    """

    folder: Path
    findings: dict[str, Any]
    tuned: Path
    link: str | None = None

    @property
    def title(self) -> str:
        return f"study {self.findings['study']} in {self.folder}"

    def figures(self) -> list[tuple[str, str]]:
        values = [(f"recommended {key}", str(value)) for key, value in self.findings["values"].items()]
        change = self.findings["difference"]
        told = f"{change['verdict']}" + ("" if change["mean"] is None else f" ({change['mean']:+.4f} validation SRCC)")
        return [*values, ("tuned against baseline", told), ("config", str(self.tuned))]

    def plot(self) -> Figure:
        """What was confirmed, how surely, and what the guide says."""
        from iqa.plots.several.tuning import recommendation

        return recommendation(self.findings)
