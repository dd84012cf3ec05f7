"""Calibrated scores keep the order, stay on the scale, and are the model's own where validation cannot tell more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import make_evaluated
from numpy.typing import NDArray
from tiny_model import write_experiment

from iqa import metrics
from iqa.calibration import IDENTITY, LEAST_TO_MAP, fit_rising
from iqa.data.manifest import ScoreScale
from iqa.errors import UserError
from iqa.evaluation.evaluated import together
from iqa.evaluation.report import compute
from iqa.scoring import Calibration, Ensemble, load_scorer

ACROSS = np.linspace(-3, 4, 701)
#: A scale whose ends no other number of these tests has.
LOW, HIGH = 1.2, 4.83


def calibrated(predicted: NDArray[np.float64], true: NDArray[np.float64], *, rises: bool = True) -> NDArray[np.float64]:
    """Scores ACROSS on people's scale, by a calibration found on these pictures."""
    mapping, note = fit_rising(predicted, true)
    assert (mapping == IDENTITY) == bool(note)
    return Calibration(mapping, ScoreScale(LOW, HIGH, rises), note)(pd.Series(ACROSS)).to_numpy()


def any_pictures(number: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions and scores of any kind: related or not, reversed, with ties, constant, far off the scale."""
    true = random.random(number)
    predicted = [
        true + 0.1 * random.normal(size=number),
        random.normal(scale=3, size=number),
        1 - true,
        np.round(true * 3) / 3,
        np.full(number, 0.4),
        1e3 * (true - 0.5),
        (true > 0.5).astype(float),
    ][random.integers(7)]
    if random.random() < 0.3:
        true = np.round(true * random.integers(1, 4)) / 4
    return np.asarray(predicted), true


@pytest.mark.parametrize("number", [*range(0, 42, 3), 60, 100, 200])
def test_whatever_the_pictures_the_order_is_kept_and_the_scale_too(number: int) -> None:
    random = np.random.default_rng(number)
    for rises in (True, False, True, False):
        found = calibrated(*any_pictures(number, random), rises=rises)
        assert (found >= LOW).all()
        assert (found <= HIGH).all()
        steps = np.diff(found)
        assert (steps >= 0).all() if rises else (steps <= 0).all()


@pytest.mark.parametrize("number", range(LEAST_TO_MAP))
def test_few_pictures_change_nothing_and_it_is_said_how_many_are_needed(number: int) -> None:
    predicted = np.linspace(0, 1, number)
    mapping, note = fit_rising(predicted, predicted**3)
    assert np.array_equal(mapping(ACROSS), ACROSS)
    assert f"only {number} validation pictures" in note
    assert f"takes {LEAST_TO_MAP}" in note


def test_six_pictures_that_a_curve_fits_do_not_leave_the_scale_or_turn_the_order_round() -> None:
    predicted = np.array([0.61, 0.60, 0.59, 0.58, 0.57, 0.56])
    for true in (np.linspace(0, 1, 6), np.linspace(1, 0, 6)):
        found = calibrated(predicted, true)
        np.testing.assert_allclose(found, LOW + (HIGH - LOW) * ACROSS.clip(0, 1))


@pytest.mark.parametrize(
    ("predicted", "true", "why"),
    [
        (np.full(60, 0.3), np.linspace(0, 1, 60), "predictions of all 60 validation pictures are the same"),
        (np.linspace(0, 1, 60), np.full(60, 0.5), "scores of all 60 validation pictures are the same"),
        (np.linspace(0, 1, 60), np.linspace(0, 1, 60), "by more than chance"),
    ],
)
def test_pictures_that_tell_nothing_change_nothing(
    predicted: NDArray[np.float64], true: NDArray[np.float64], why: str
) -> None:
    mapping, note = fit_rising(predicted, true)
    assert mapping == IDENTITY
    assert why in note


@pytest.mark.parametrize("seed", range(5))
def test_scores_that_are_off_are_brought_nearer_to_peoples(seed: int) -> None:
    random = np.random.default_rng(seed)
    true = random.random(400)
    predicted = 0.2 + 0.3 * true**2 + 0.02 * random.normal(size=400)
    mapping, note = fit_rising(predicted[:100], true[:100])
    assert note == ""
    assert metrics.rmse(mapping(predicted[100:]), true[100:]) < metrics.rmse(predicted[100:], true[100:]) / 2


def test_scores_that_fit_already_are_hardly_ever_made_worse() -> None:
    random = np.random.default_rng(0)
    worse = []
    for _ in range(40):
        true = random.random(340)
        predicted = true + 0.1 * random.normal(size=340)
        mapping, _ = fit_rising(predicted[:40], true[:40])
        before = metrics.rmse(predicted[40:].clip(0, 1), true[40:])
        worse.append(metrics.rmse(mapping(predicted[40:]).clip(0, 1), true[40:]) / before - 1)
    assert np.mean(worse) < 0.01
    assert max(worse) < 0.2


def test_an_early_checkpoint_whose_mapping_falls_is_read_as_having_none() -> None:
    known = {"parameters": [0.1, 0.9, 0.5, 0.2], "linear": False, "low": LOW, "high": HIGH, "higher_is_better": True}
    read = Calibration.from_dict(known)
    assert read.mapping == IDENTITY
    assert read.note


def test_the_reason_goes_where_the_scores_go(tmp_path: Path) -> None:
    known = {"parameters": [1.0, 0.0], "linear": True, "low": LOW, "high": HIGH, "higher_is_better": True}
    few, none = {**known, "note": "only 5 validation pictures"}, {**known, "note": ""}
    scorers = [
        load_scorer(write_experiment(tmp_path / name, calibration=calibration))
        for name, calibration in (("few", few), ("none", none), ("too", few))
    ]
    assert [scorer.not_calibrated for scorer in scorers[:2]] == [("only 5 validation pictures",), ()]
    assert Ensemble(scorers, "all").not_calibrated == ("only 5 validation pictures",)
    judged = replace(make_evaluated(40, 3), not_calibrated=scorers[0].not_calibrated)
    assert together([judged, judged]).not_calibrated == scorers[0].not_calibrated
    results = compute(judged, best_epoch=None, skip_tsne=True).results
    assert results["not_calibrated"] == ["only 5 validation pictures"]


def test_what_does_not_pair_up_is_refused() -> None:
    for predicted, true in (([0.1, 0.2], [0.1]), ([0.1, np.nan], [0.1, 0.2])):
        with pytest.raises(UserError, match="pairs finite predictions"):
            fit_rising(predicted, true)
