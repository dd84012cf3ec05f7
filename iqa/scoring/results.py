"""What a scoring leaves behind: the table of scores and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from iqa.files import atomic_write, read_json, write_json
from iqa.scoring.base import UNUSUAL, PictureScorer
from iqa.scoring.ensemble import Ensemble
from iqa.scoring.inputs import Inputs

SUMMARY = "summary.json"
HISTOGRAM, CONTACT_SHEET = "histogram.png", "contact_sheet.png"
TABLES = {"csv": "scores.csv", "parquet": "scores.parquet"}
#: All that is written to a folder of results, and nothing else is.
RESULTS = (*TABLES.values(), SUMMARY, HISTOGRAM, CONTACT_SHEET)

#: Reasons for unreadable pictures that a summary counts.
REASONS = 20

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}

Format = Literal["csv", "parquet"]


def write_tables(folder: Path, table: pd.DataFrame, wanted: Format) -> Path:
    """Write the table, and bring one of the other format up to date if there is one; returns its place.

    Raises:
        IqaError: no room on the disk.
    """
    if wanted == "csv" or (folder / TABLES["csv"]).exists():
        atomic_write(folder / TABLES["csv"], lambda file: table.to_csv(file, index=False, mode="wb"))
    if wanted == "parquet" or (folder / TABLES["parquet"]).exists():
        typed = table.astype({"error": "string", "note": "string"})
        atomic_write(folder / TABLES["parquet"], lambda file: typed.to_parquet(file, index=False))
    return folder / TABLES[wanted]


def summarise(scorer: PictureScorer | Ensemble, inputs: Inputs, table: pd.DataFrame) -> dict[str, Any]:
    """Counts and the spread of the scores, ready for JSON."""
    scored = table[table["error"].isna()]
    return {
        "experiment": scorer.config.experiment_name,
        "epoch": scorer.epoch,
        "checkpoint": scorer.digest,
        "score_name": scorer.score_name,
        "root": str(inputs.root),
        "inputs": inputs.digest,
        "pictures": len(table),
        "scored": len(scored),
        "unreadable": len(table) - len(scored),
        "reasons": {str(reason): int(count) for reason, count in table["error"].value_counts()[:REASONS].items()},
        "left_out": inputs.left_out,
        "several_frames": int(table["note"].notna().sum()),
        "score": _spread(scored["score"]),
        "calibrated": _spread(scored["calibrated"]),
        "not_calibrated": list(scorer.not_calibrated),
        "coverage": scorer.coverage,
        "no_intervals": list(scorer.no_intervals),
        "unusual": int((scored["typicality"] < UNUSUAL).sum()) if scored["typicality"].notna().any() else None,
    }


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Written last: it says that all the rest is there."""
    write_json(folder / SUMMARY, summary)


def finished(folder: Path, inputs: Inputs, wanted: Format) -> dict[str, Any] | None:
    """The summary of a folder whose results are those of just these inputs and complete, else None."""
    if not all((folder / name).is_file() for name in (SUMMARY, TABLES[wanted])):
        return None
    summary = read_json(folder / SUMMARY)
    known: dict[str, Any] = summary if isinstance(summary, dict) else {}
    figures = known.get("figures", [HISTOGRAM, CONTACT_SHEET] if known.get("scored") else [])
    whole = isinstance(figures, list) and all((folder / str(name)).is_file() for name in figures)
    return known if known.get("inputs") == inputs.digest and whole else None


def _spread(values: pd.Series) -> dict[str, float] | None:
    values = values.dropna()
    if values.empty:
        return None
    quantiles = {name: float(values.quantile(share)) for name, share in QUANTILES.items()}
    return {"mean": float(values.mean()), "std": float(values.std(ddof=0)), **quantiles}
