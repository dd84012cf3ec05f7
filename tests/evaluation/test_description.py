"""A run says in MLflow what came of it, in Markdown."""

from __future__ import annotations

from typing import Any

from iqa.config import ExperimentConfig
from iqa.evaluation.description import description

FIGURE = {"value": 0.8123, "low": 0.7, "high": 0.9}
RESULTS: dict[str, Any] = {
    "n": 40,
    "score_name": "MOS",
    "caveat": None,
    "metrics": {"srcc": FIGURE, "plcc": FIGURE, "krcc": FIGURE | {"low": None, "high": None}, "rmse": FIGURE},
    "by_subset": {"a|b": {"n": 30, "srcc": 0.5}, "c\nd": {"n": 10, "srcc": None}},
}
CONFIG = ExperimentConfig(experiment_name="mine", model={"n_clusters": 3, "freeze_backbone": True})


def test_it_gives_figures_with_intervals_subsets_and_how_to_do_it_again() -> None:
    lines = description(RESULTS, CONFIG).splitlines()
    assert lines[0] == "**40 test pictures, judged against MOS**"
    assert "| SRCC | 0.812 | 0.700 to 0.900 |" in lines
    assert "| KRCC | 0.812 | too few contents |" in lines
    assert "| a\\|b | 30 | 0.500 |" in lines
    assert "| c d | 10 | - |" in lines
    assert "resnet18, frozen, 3 clusters, trained on cifar10 for up to 50 epochs." in lines
    assert "iqa train --config config.json" in lines[-1]


def test_one_subset_is_no_table_and_a_caveat_is_said() -> None:
    one = RESULTS | {"by_subset": {"all": {"n": 40, "srcc": 0.8}}, "caveat": "compare ranks"}
    said = description(one, CONFIG)
    assert "subset" not in said
    assert said.startswith("**40 test pictures, judged against MOS** (compare ranks)\n\n")
