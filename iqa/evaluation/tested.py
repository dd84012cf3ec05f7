"""What a tested experiment left behind, read for comparisons and checked for what they take from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iqa.errors import UserError
from iqa.evaluation.report import RESULTS, TABLE
from iqa.files import content_of, read_json
from iqa.training.checkpoints import ExperimentFolder, checkpoint_parts, load_checkpoint

MEASURES = ("srcc", "plcc", "krcc", "rmse")
#: What is expected of the files of a test, and how they are had again.
WRITTEN = ("what iqa evaluate writes", "evaluate the experiment again")


@dataclass(frozen=True)
class Contender:
    """One experiment that was trained and tested.

    Attributes:
        facts: what is told of it beside its figures, as plain values.
        results: what test_results.json holds.
        table: the test pictures with at least `image`, `content`, `score` and `predicted`.
    """

    facts: dict[str, Any]
    results: dict[str, Any]
    table: pd.DataFrame

    @property
    def name(self) -> str:
        return str(self.facts["name"])


def read_contender(folder: ExperimentFolder) -> Contender:
    """What the folder of a tested experiment says.

    Raises:
        UserError: it has no config, no manifest, no best model or no test.
    """
    config = folder.read_config()
    content = load_checkpoint(folder.best)
    with checkpoint_parts(folder.best):
        weights = sum(tensor.numel() for tensor in content["model"].values()) / 1e6
    facts = {
        "name": config.experiment_name,
        "backbone": config.model.backbone,
        "frozen": config.model.freeze_backbone,
        "n_clusters": config.model.n_clusters,
        "weights_millions": weights,
        **_history(folder),
        "test_share": _test_share(folder),
    }
    results, table = read_test(folder.visualizations)
    # All at the same coverage, so that the narrower ones are better.
    with content_of(folder.visualizations / RESULTS, *WRITTEN):
        for name in MEASURES:
            for end in ("value", "low", "high"):
                _known(results["metrics"][name][end])
        int(results["contents"]), str(results["score_name"]), str(results["caveat"])
        facts["interval_width"] = _known((results.get("intervals") or {"width": {"value": None}})["width"]["value"])
    return Contender(facts, results, table)


def read_test(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The results and the table of test pictures that a report in `folder` left, with what is compared of them.

    Raises:
        UserError: there are none, or they are damaged.
    """
    results = read_json(folder / RESULTS)
    with content_of(folder / RESULTS, *WRITTEN):
        _known(results["metrics"]["srcc"]["value"])
    with content_of(folder / TABLE, *WRITTEN):
        # Names that are all numbers are names, as others' are.
        table = pd.read_csv(folder / TABLE, dtype={"image": str, "content": str})
        table = table.astype({"image": str, "content": str, "score": np.float64, "predicted": np.float64})
        if table.empty:
            raise ValueError("no pictures")
    return results, table


def _known(value: Any) -> float | None:
    """A figure, which may be missing.

    Raises:
        TypeError, ValueError: something else.
    """
    if isinstance(value, str | bool):
        raise TypeError(f"{value!r} is no number")
    return None if value is None else float(value)


def _history(folder: ExperimentFolder) -> dict[str, Any]:
    """What is told of how a training went."""
    history = read_json(folder.history_file)
    with content_of(folder.history_file, "the epochs that training wrote there", "train again"):
        epochs, best = history["epochs"], history["best_epoch"]
        chosen = [epoch["val_srcc"] for epoch in epochs if epoch["epoch"] == best]
        return {
            "epochs": len(epochs),
            "best_epoch": best,
            "val_srcc": _known(chosen[0]) if chosen else None,
            "seconds_per_epoch": float(np.median([epoch["seconds"] for epoch in epochs])),
            "images_per_second": float(np.median([epoch["images_per_second"] for epoch in epochs])),
        }


def _test_share(folder: ExperimentFolder) -> float:
    """Test pictures for each training picture."""
    manifest = folder.read_manifest()
    if manifest is None:
        raise UserError(
            f"{folder.path} does not say what it was trained on",
            expected=f"its {folder.manifest_file.name}",
            fix="train it again, or copy that file back",
        )
    counts = manifest["split"].value_counts()
    with content_of(folder.manifest_file, "pictures of the splits train, val and test", "train again"):
        return float(counts["test"] / counts["train"])
