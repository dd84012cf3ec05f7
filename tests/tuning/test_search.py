"""A study on trainings whose truth is known: found, confirmed, recommended; the test split is nobody's business."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks.helpers.pretended import PretendedBench, Silent, config, peak
from iqa.config import ExperimentConfig
from iqa.errors import IqaError
from iqa.tuning.findings import as_markdown, conclude, tuned_config
from iqa.tuning.recommend import axis_advice, difference, epochs_that_pay
from iqa.tuning.search import Search
from iqa.tuning.storage import only_planned, open_storage

RATE, CLUSTERS = "training.learning_rate", "model.n_clusters"


def study(
    truth: Any, base: ExperimentConfig, noise: float = 0.0, storage: Any = None
) -> tuple[Search, PretendedBench, Silent, Any]:
    storage = storage or only_planned(optuna.storages.InMemoryStorage())
    bench, observer = PretendedBench(truth, noise), Silent()
    search = Search(base, bench, observer, storage, "pretended")
    search.plan()
    return search, bench, observer, storage


def findings_of(truth: Any, base: ExperimentConfig, noise: float = 0.0, storage: Any = None) -> dict[str, Any]:
    search, bench, observer, storage = study(truth, base, noise, storage)
    search.work()
    return conclude(search, bench, observer, storage)


def test_the_config_and_the_guide_are_tried_first() -> None:
    search, bench, _, _ = study(peak, config(model__freeze_backbone=True))
    search.work()
    first, second = (settings for settings, _ in bench.trained[:2])
    assert (first.training.learning_rate, first.model.n_clusters) == (1e-3, 8)
    assert (second.training.learning_rate, second.model.n_clusters) == (5e-3, 8)


def test_trials_that_fall_behind_are_pruned_and_told_so() -> None:
    search, _, observer, _ = study(peak, config(tuning__trials=25))
    search.work()
    told = [state for state, _ in observer.told]
    assert told.count("pruned") > 3
    assert told.count("pruned") + told.count("complete") == 25


def test_the_search_has_one_split_and_the_confirmation_others() -> None:
    search, bench, observer, storage = study(peak, config())
    search.work()
    assert {split for _, split in bench.trained} == {None}
    searched = len(bench.trained)
    conclude(search, bench, observer, storage)
    assert {split for _, split in bench.trained[searched:]} == {1, 2, 3}
    seeds = {(split, settings.training.seed) for settings, split in bench.trained[searched:]}
    assert seeds == {(1, 1), (2, 2), (3, 3)}


def test_a_known_optimum_is_recommended_and_clusters_that_do_nothing_are_left_out() -> None:
    base = config(tuning__trials=20, training__learning_rate=1e-2)
    findings = findings_of(peak, base, noise=0.002)
    rate, clusters = findings["settings"][RATE], findings["settings"][CLUSTERS]
    assert rate["value"] == 1e-3
    assert rate["range"][0] <= 1e-3 <= rate["range"][1]
    assert clusters["no_difference"]
    assert clusters["value"] == 0
    assert findings["difference"]["verdict"] == "better"
    assert findings["guide"][RATE]["verdict"] == "confirmed"
    assert findings["guide"][CLUSTERS]["verdict"] == "undecided"
    text = as_markdown(findings)
    assert "no difference found" in text
    assert "| training.learning_rate | 0.001 |" in text
    tuned = tuned_config(base, findings, "next")
    assert tuned["training"]["learning_rate"] == findings["values"][RATE]
    assert tuned["model"]["n_clusters"] == 0
    assert tuned["experiment_name"] == "next"


def test_the_smallest_cluster_count_that_is_good_enough_is_recommended() -> None:
    findings = findings_of(
        lambda c: 0.8 + 0.02 * min(c.model.n_clusters, 8) / 8, config(tuning__trials=15), noise=0.0005
    )
    assert findings["settings"][CLUSTERS]["value"] == 8
    assert findings["settings"][CLUSTERS]["good"] == [8, 12, 16]
    assert findings["guide"][CLUSTERS] == {"guide": [8, 12], "verdict": "confirmed"}


def test_a_study_is_concluded_again_without_training_again(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db", 20)
    first = findings_of(peak, config(), storage=storage)
    search, bench, observer, storage = study(peak, config(), storage=storage)
    search.work()
    assert conclude(search, bench, observer, storage) == first
    assert not bench.trained


def test_one_setting_that_runs_out_of_memory_costs_its_trials_alone() -> None:
    findings = findings_of(lambda c: math.nan if c.model.n_clusters == 16 else peak(c), config())
    assert findings["trials"]["fail"] >= 1
    assert 16 not in findings["settings"][CLUSTERS]["good"]


@pytest.mark.parametrize("truth", [lambda _: math.nan], ids=["failed"])
def test_nothing_completed_is_one_message(truth: Any) -> None:
    search, *_ = study(truth, config(tuning__trials=3))
    with pytest.raises(IqaError, match="no trial was completed") as error:
        search.work()
    assert "3 failed, such as: out of memory" in str(error.value)
    assert len(search.planned.trials()) == 3


def test_epochs_stop_paying_where_the_leading_curves_are_flat() -> None:
    flat = [{epoch: min(epoch, 10) / 10 for epoch in range(1, 31)}] * 4
    assert epochs_that_pay(flat, 30, 0.05)["value"] == 10
    rising = [{epoch: epoch / 30 for epoch in range(1, 31)}] * 4
    assert epochs_that_pay(rising, 30, 0.01)["still_rising"]
    assert epochs_that_pay([], 30, 0.01)["value"] is None


def test_a_difference_has_the_interval_of_a_paired_test() -> None:
    from scipy.stats import ttest_rel

    ours, theirs = [0.81, 0.83, 0.85], [0.80, 0.81, 0.84]
    found = difference(ours, theirs)
    low, high = ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert difference(ours, ours)["verdict"] == "no difference found"
    assert difference([None, 0.8, None], theirs)["verdict"] == "not measured"


def test_a_choice_that_is_no_number_has_no_range() -> None:
    from iqa.tuning.confirm import Plan

    plan = Plan(settings=[{}, {}], axes={"model.backbone": [("resnet18", 0), ("resnet34", 1)]})
    found = axis_advice("model.backbone", plan, [[0.8, 0.81, 0.79], [0.9, 0.91, 0.89]], {"model.backbone": "resnet18"})
    assert found["value"] == "resnet34"
    assert found["range"] is None
