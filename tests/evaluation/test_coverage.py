"""Coverage is counted as anybody would count it, and certainty is worth something where errors follow it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up import make_evaluated

from iqa.evaluation.coverage import SET_ASIDE, describe_intervals
from iqa.evaluation.evaluated import Evaluated
from iqa.plots.intervals import intervals as drawn

SETTINGS = {"samples": 100, "seed": 0, "confidence": 0.95}


def with_intervals(seed: int = 0) -> Evaluated:
    """Pictures of which half are hard: their errors and their intervals are four times as wide."""
    evaluated = make_evaluated(400, 3)
    random = np.random.default_rng(seed)
    spread = np.where(np.arange(400) % 2, 0.04, 0.16)
    predicted = evaluated.true + spread * random.normal(size=400)
    return replace(evaluated, predicted=predicted, low=predicted - 1.645 * spread, high=predicted + 1.645 * spread)


def test_without_intervals_there_is_nothing_to_say() -> None:
    assert describe_intervals(make_evaluated(40, 3), **SETTINGS) is None


def test_coverage_and_width_are_those_of_the_table() -> None:
    evaluated = with_intervals()
    found = describe_intervals(evaluated, **SETTINGS)
    assert found is not None
    holds = (evaluated.low <= evaluated.true) & (evaluated.true <= evaluated.high)
    assert found["coverage"]["value"] == pytest.approx(holds.mean())
    assert found["coverage"]["low"] <= found["coverage"]["value"] <= found["coverage"]["high"]
    assert found["width"]["value"] == pytest.approx((evaluated.high - evaluated.low).mean())
    for breakdown in ("by_cluster", "by_kind", "by_fifth"):
        parts = found[breakdown].values()
        assert sum(part["n"] * part["coverage"] for part in parts) == pytest.approx(holds.sum()), breakdown
    assert [part["n"] for part in found["by_fifth"].values()] == [80] * 5


def test_setting_the_least_certain_aside_lowers_the_error_and_at_random_does_not() -> None:
    found = describe_intervals(with_intervals(), **SETTINGS)
    assert found is not None
    risk = found["risk"]
    assert risk["set_aside"] == list(SET_ASIDE)
    assert risk["rmse_by_width"][-1] < 0.5 * risk["rmse_by_width"][0]
    assert risk["rmse_at_random"][-1] == pytest.approx(risk["rmse_at_random"][0], rel=0.05)
    assert risk["rmse_by_error"][-1] < risk["rmse_by_width"][-1]
    assert risk["srcc_by_width"][-1] > risk["srcc_by_width"][0] + 0.02


def test_it_can_be_drawn() -> None:
    evaluated = with_intervals()
    found = describe_intervals(evaluated, **SETTINGS)
    assert found is not None
    figure = drawn(evaluated, found)
    assert "90 % intervals hold for" in figure.get_suptitle()
    assert len(figure.axes) == 2
