"""A report's files: numbers, table and figures, written together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from iqa.evaluation.evaluated import Evaluated
from iqa.evaluation.report import RESULTS, TABLE, Report, compute
from iqa.files import write_json, write_text
from iqa.plots.report import FIGURES
from iqa.plots.style import save_drawn_by
from iqa.progress import progress_bar


def write_report(
    evaluated: Evaluated,
    history: Sequence[Mapping[str, Any]],
    directory: Path,
    *,
    best_epoch: int | None,
    skip_tsne: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> Report:
    """Write `test_results.json`, `test_predictions.csv` and FIGURES into `directory`.

    Everything is computed before anything is written, and the results come last. Figures that this one has no ground
    for are removed (t-SNE where it is skipped or has fewer than five points, training curves where no epoch was
    recorded); one that cannot be drawn is told and costs nothing else.

    Args:
        history: the records of training, one per epoch; may be empty.
        best_epoch: the epoch marked in the training curves.
        skip_tsne: leave out the slowest figure.
        seed: of the bootstrap, PCA and t-SNE; the same seed gives the same report.
        progress: True, a bar; None, a bar on a terminal and lines elsewhere; False, nothing.

    Returns:
        the report, with the names of its figures in `results`.

    Raises:
        UserError: fewer than two pictures, or predictions that are not finite.
        IqaError: the directory cannot be written.
    """
    with progress_bar(total=len(FIGURES) + 2, desc="report", unit="parts", shown=progress, leave=False) as bar:
        report = compute(evaluated, best_epoch=best_epoch, skip_tsne=skip_tsne, seed=seed, progress=progress)
        bar.update()
        drawn = []
        for name, draw in FIGURES.items():
            bar.set_postfix_str(name)
            if save_drawn_by(partial(draw, report, history), directory / name):
                drawn.append(name)
            bar.update()
        report.results["figures"] = drawn
        write_text(directory / TABLE, report.table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
        write_json(directory / RESULTS, report.results)
    return report
