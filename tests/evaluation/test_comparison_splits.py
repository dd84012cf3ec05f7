"""Which model is really better, over several splits: as the t test of pairs says, and more careful than it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from iqa.errors import UserError
from iqa.evaluation.comparison import as_markdown, as_rows
from iqa.evaluation.comparison_splits import compare_splits
from iqa.evaluation.tested import Contender
from iqa.plots.several.comparison import comparison


def trainings(
    name: str, figures: Sequence[float | None], *, val_srcc: float | None = 0.9, test_share: float = 0.0
) -> list[Contender]:
    """One training for each figure of test SRCC."""

    def one(split: int, srcc: float | None) -> Contender:
        facts = {"name": f"split{split}", "backbone": "resnet18", "frozen": False, "n_clusters": 8, "epochs": 10}
        facts |= {"best_epoch": 5, "val_srcc": val_srcc, "seconds_per_epoch": 2.0, "images_per_second": 100.0}
        facts["interval_width"] = 0.3
        table = pd.DataFrame({"image": [f"{split}-{number}.png" for number in range(40)], "score": np.arange(40.0)})
        metrics = {key: {"value": srcc, "low": None, "high": None} for key in ("srcc", "plcc", "krcc", "rmse")}
        results = {"contents": 40, "score_name": "MOS", "caveat": None, "metrics": metrics}
        return Contender(facts | {"test_share": test_share}, results, table)

    return [one(split, srcc) for split, srcc in enumerate(figures)]


GOOD, WORSE = [0.80, 0.83, 0.78, 0.81, 0.82], [0.76, 0.80, 0.73, 0.78, 0.78]


def test_without_shared_pictures_the_interval_is_that_of_the_t_test_of_pairs() -> None:
    found = compare_splits(["a", "b"], [trainings("a", GOOD), trainings("b", WORSE, val_srcc=0.8)])
    difference = found["experiments"][1]["difference"]
    expected = stats.ttest_rel(WORSE, GOOD).confidence_interval(0.95)
    assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high))
    assert difference["value"] == pytest.approx(np.mean(WORSE) - np.mean(GOOD))
    assert difference["verdict"] == "worse"


def test_splits_that_share_pictures_and_further_models_widen_the_interval() -> None:
    def width(count: int, test_share: float) -> float:
        others = [trainings(f"{n}", WORSE, val_srcc=0.8) for n in range(count)]
        best = trainings("best", GOOD, test_share=test_share)
        names = ["best", *(f"{n}" for n in range(count))]
        difference = compare_splits(names, [best, *others])["experiments"][1]["difference"]
        return float(difference["high"] - difference["low"])

    # Nadeau and Bengio's factor for 70/20: sqrt((1/5 + 2/7) / (1/5)).
    assert width(1, 2 / 7) == pytest.approx(width(1, 0) * np.sqrt((1 / 5 + 2 / 7) * 5))
    assert width(4, 0) > 1.3 * width(1, 0)


def test_models_that_chance_tells_apart_are_not_called_different() -> None:
    """Trainings whose true difference is none, on splits that overlap as 70/20 ones do."""
    draws = np.random.default_rng(0)
    told = []
    for _ in range(200):
        # What two splits have in common is common to their differences.
        common, own = draws.normal(0, 0.01), draws.normal(0, 0.01, 5)
        differences = common * np.sqrt(2 / 9) + own * np.sqrt(7 / 9)
        pair = [trainings("a", GOOD, test_share=2 / 7), trainings("b", list(np.add(GOOD, differences)), val_srcc=0.8)]
        told.append(as_rows(compare_splits(["a", "b"], pair))[1]["verdict"])
    assert told.count("no difference found") >= 185


def test_validation_names_the_best_and_the_figures_are_means_with_their_range() -> None:
    found = compare_splits(["a", "b"], [trainings("a", GOOD, val_srcc=0.7), trainings("b", WORSE)])
    assert found["best"] == "b"
    assert found["experiments"][0]["srcc"] == pytest.approx({"value": np.mean(WORSE), "low": 0.73, "high": 0.80})
    text = as_markdown(found)
    assert "40 test pictures of each of 5 splits" in text
    assert "trained 5 times" in text
    comparison(found)


def test_a_split_without_a_figure_leaves_the_difference_untold() -> None:
    found = compare_splits(["a", "b"], [trainings("a", [0.8, 0.9]), trainings("b", [None, 0.8], val_srcc=None)])
    assert found["best"] == "a"
    assert found["experiments"][1]["difference"]["verdict"] == "cannot be told"
    assert found["experiments"][1]["srcc"]["value"] is None
    comparison(found)


def test_other_pictures_and_a_single_split_are_refused() -> None:
    other = trainings("b", WORSE)
    moved = [Contender(each.facts, each.results, each.table.assign(score=1.0)) for each in other]
    with pytest.raises(UserError, match="different pictures"):
        compare_splits(["a", "b"], [trainings("a", GOOD), moved])
    with pytest.raises(UserError, match="no spread"):
        compare_splits(["a", "b"], [trainings("a", [0.8]), trainings("b", [0.7])])
