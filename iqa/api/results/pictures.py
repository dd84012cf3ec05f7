"""What is given back of pictures: their scores, and what an audit of a set found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.api.results.result import Result, number
from iqa.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from iqa.data.audit.auditing import Audit
    from iqa.data.audit.findings import Finding

#: Names of the files of an audit.
REPORT, GROUPS, PAGE, FIGURE = "audit.json", "groups.csv", "audit.html", "audit.png"


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
        return counts + [(name, number(spread[name])) for name in ("mean", "median", "min", "max") if spread]

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


@dataclass(frozen=True, repr=False)
class AuditResult(Result):
    """Pictures and scores looked into before a training.

    Attributes:
        name: of the set.
        folder: with audit.json, groups.csv, audit.html and audit.png.
        audit: what was found, with figures and facts of each picture.
    """

    name: str
    folder: Path
    audit: Audit
    link: str | None = None

    @property
    def title(self) -> str:
        return f"audit of {self.name} in {self.folder}"

    @property
    def findings(self) -> list[Finding]:
        """What is odd, in words: `str(finding)`; empty if nothing is."""
        return self.audit.findings

    @property
    def groups(self) -> Path:
        """The file of groups that the setting data.groups takes."""
        return self.folder / GROUPS

    @property
    def files(self) -> list[Path]:
        """What was written: all of it, but for the figure where it could not be drawn."""
        return [file for name in (REPORT, GROUPS, PAGE, FIGURE) if (file := self.folder / name).exists()]

    def figures(self) -> list[tuple[str, str]]:
        files, copies = self.audit.sections["files"], self.audit.sections["copies"]
        counts = [("pictures", files["pictures"]), ("readable", files["readable"]), ("groups", copies["groups"])]
        odd = [(finding.section, str(finding)) for finding in self.findings]
        return [*((name, str(count)) for name, count in counts), *odd]

    def plot(self) -> Figure:
        """How scores spread over the splits, and what pictures that look alike say of them."""
        from iqa.plots.audit import audited

        return audited(self.audit, title=self.title)
