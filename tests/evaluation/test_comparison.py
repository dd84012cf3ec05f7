"""Which model is really better: paired over the same pictures, and careful about chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iqa import metrics
from iqa.errors import UserError
from iqa.evaluation.comparison import as_markdown, as_rows, compare_tested
from iqa.evaluation.tested import Contender
from iqa.plots.several.comparison import comparison

TRUE = np.random.default_rng(0).random(300)


def contender(name: str, noise: float, val_srcc: float, *, seed: int = 1, contents: int = 300) -> Contender:
    """A model whose errors have a spread of `noise`, those of one seed alike for all."""
    predicted = TRUE + noise * np.random.default_rng(seed).standard_normal(len(TRUE))
    table = pd.DataFrame(
        {
            "image": [f"{number}.png" for number in range(len(TRUE))],
            "content": np.arange(len(TRUE)) % contents,
            "score": TRUE,
            "predicted": predicted,
        }
    )
    figures = metrics.scores(predicted, TRUE)
    results = {
        "contents": contents,
        "score_name": "MOS",
        "caveat": None,
        "metrics": {key: {"value": value, "low": value - 0.1, "high": value + 0.1} for key, value in figures.items()},
    }
    facts = {"name": name, "backbone": "resnet18", "frozen": False, "n_clusters": 8, "val_srcc": val_srcc}
    facts["interval_width"] = 3 * noise
    return Contender(facts | {"seconds_per_epoch": 2.0}, results, table)


def verdicts(*contenders: Contender) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in as_rows(compare_tested(contenders, samples=400))}


def test_a_model_of_larger_errors_is_worse_and_one_of_like_errors_is_not() -> None:
    assert verdicts(contender("a", 0.10, 0.90), contender("b", 0.30, 0.80), contender("c", 0.101, 0.85, seed=2)) == {
        "a": "best by validation",
        "b": "worse",
        "c": "no difference found",
    }


def test_validation_names_the_best_even_where_the_test_speaks_for_another() -> None:
    found = compare_tested([contender("a", 0.30, 0.90), contender("b", 0.10, 0.80)], samples=400)
    assert found["best"] == "a"
    assert found["experiments"][1]["difference"]["verdict"] == "better"


def test_a_difference_is_that_of_the_two_models_figures() -> None:
    one, other = contender("a", 0.1, 0.9), contender("b", 0.2, 0.8)
    (_, second) = compare_tested([one, other], samples=100)["experiments"]
    expected = metrics.srcc(other.table["predicted"], TRUE) - metrics.srcc(one.table["predicted"], TRUE)
    assert second["difference"]["value"] == pytest.approx(expected)
    assert second["difference"]["low"] < expected < second["difference"]["high"]


def test_more_models_widen_the_intervals() -> None:
    def width(count: int) -> float:
        others = [contender(f"{number}", 0.2, 0.5, seed=number + 2) for number in range(count)]
        part = compare_tested([contender("best", 0.1, 0.9), *others], samples=1500)["experiments"][1]["difference"]
        return float(part["high"] - part["low"])

    assert width(6) > 1.1 * width(1)


def test_equal_models_are_hardly_ever_told_apart() -> None:
    told = [
        verdicts(contender("a", 0.2, 0.9, seed=seed), contender("b", 0.2, 0.8, seed=seed + 1000))["b"]
        for seed in range(40)
    ]
    assert told.count("no difference found") >= 34


def test_few_contents_tell_nothing() -> None:
    found = compare_tested([contender("a", 0.1, 0.9, contents=2), contender("b", 0.3, 0.8, contents=2)], samples=50)
    assert found["experiments"][1]["difference"]["verdict"] == "cannot be told"
    assert "only 2 contents: no intervals" in found["caveat"]
    comparison(found)


def test_other_pictures_cannot_be_compared() -> None:
    other = contender("b", 0.3, 0.8)
    moved = Contender(other.facts, other.results, other.table.assign(score=other.table["score"] + 0.1))
    with pytest.raises(UserError, match=r"different pictures[\s\S]*data section"):
        compare_tested([contender("a", 0.1, 0.9), moved])


def test_the_table_for_a_reader_names_every_model_and_verdict() -> None:
    text = as_markdown(compare_tested([contender("a", 0.1, 0.9), contender("b", 0.3, 0.8)], samples=200))
    assert "| a | resnet18 | 8 | 0.900 |" in text
    assert ": worse |" in text
