"""What a call of the library gives back: the outcome in a line, in a notebook, and as a figure."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.config import ExperimentConfig
from iqa.errors import UserError, nearest
from iqa.records import EpochRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from iqa.evaluation.report import Report

#: Figures of merit as a reader writes them.
MEASURES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "rmse": "RMSE"}


class Result:
    """An outcome with its files.

    Attributes:
        folder: where its files are.
        link: address of MLflow's table of runs; None where nothing is tracked, or the server does not answer.
    """

    folder: Path
    link: str | None

    def figures(self) -> list[tuple[str, str]]:
        """Figures of merit in words: what, and how much."""
        raise TypeError(f"{type(self).__name__} has no figures of merit")

    def pictures(self) -> list[Path]:
        """The PNG files in its folder."""
        return sorted(self.folder.glob("*.png"))

    def plot(self) -> Figure:
        """The figure that says most."""
        raise TypeError(f"{type(self).__name__} has no figure")

    @property
    def title(self) -> str:
        return f"{type(self).__name__} in {self.folder}"

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.figures())
        return f"<{self.title}: {told}>"

    def _repr_html_(self) -> str:
        """Figures of merit and pictures, for a notebook."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self.figures()
        )
        pictures = "".join(
            f"<img alt='{html.escape(path.stem)}' style='max-width:48%' "
            f"src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
            for path in self.pictures()
        )
        return f"<h4>{html.escape(self.title)}</h4><table>{rows}</table>{pictures}"


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
            told += [(f"validation {shown}", _number(getattr(best, f"val_{name}"))) for name, shown in MEASURES.items()]
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
        whole = [(label, _with_interval(results["metrics"][name])) for name, label in MEASURES.items()]
        within = [(f"SRCC within {name}", _number(part["srcc"])) for name, part in results["by_subset"].items()]
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
            rows.append((part["name"], f"test SRCC {_with_interval(part['srcc'])}: {verdict}"))
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


@dataclass(frozen=True, repr=False)
class ScoringResult(Result):
    """Pictures scored.

    Attributes:
        folder: with the table, summary.json and the figures.
        summary: what summary.json holds.
        table: a row for each picture: image, score, calibrated, cluster, log_likelihood, error.
    """

    folder: Path
    summary: dict[str, Any]
    table: pd.DataFrame
    link: str | None = None

    @property
    def title(self) -> str:
        return f"scores by {self.summary['experiment']} in {self.folder}"

    def figures(self) -> list[tuple[str, str]]:
        counts = [(name, str(self.summary[name])) for name in ("pictures", "scored", "unreadable")]
        spread = self.summary["score"] or {}
        return counts + [(name, _number(spread[name])) for name in ("mean", "median", "min", "max") if spread]

    def plot(self) -> Figure:
        """How the scores spread.

        Raises:
            UserError: no picture was scored.
        """
        from iqa.plots.scores import score_histogram

        scores = self.table["score"].dropna().to_numpy()
        if not len(scores):
            raise UserError("no picture was scored, so there is nothing to draw")
        return score_histogram(scores, score_name=self.summary["score_name"], title=self.title)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _with_interval(part: Mapping[str, float | None]) -> str:
    if part["low"] is None or part["high"] is None:
        return _number(part["value"])
    return f"{_number(part['value'])} [{part['low']:.4f}, {part['high']:.4f}]"
