"""A run says in MLflow what came of it, in Markdown."""

from __future__ import annotations

from typing import Any

from iqa.config import ExperimentConfig
from iqa.evaluation.description import description, repeats_description, untested

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
    assert lines[-2:] == ["    iqa train --config config.json", "    iqa evaluate --experiment experiments/mine"]


def test_it_shows_the_scatter_plot_and_links_to_the_settings() -> None:
    said = description(RESULTS, CONFIG, picture="![scatter](picture)", settings="file")
    assert "\n\n![scatter](picture)\n\n" in said
    assert "[config.json](file)" in said


def test_an_ensemble_names_its_members() -> None:
    said = description(RESULTS, CONFIG, members=["a", "b"])
    assert "The mean of 2 experiments: a, b." in said
    assert said.endswith("    iqa ensemble --experiments a b")


def test_before_its_test_a_training_says_what_validation_found() -> None:
    said = untested(CONFIG, {"best_epoch": 7.0, "best_val_srcc": 0.81}, settings="file", folder="experiments/mine")
    assert said.startswith("**Validation SRCC 0.810** at epoch 7; not tested yet:\n\n    iqa evaluate")


def test_several_splits_give_medians_and_a_link_to_their_runs() -> None:
    part = {"median": 0.8, "low": 0.7, "high": 0.9}
    said = repeats_description({"splits": [{}, {}], "test": {"srcc": part, "plcc_logistic": part}}, "there")
    assert said.splitlines()[0] == "**[2 splits](there)**, each trained and tested"
    assert said.splitlines()[-1] == "| SRCC | 0.800 | 0.700 to 0.900 |"


def test_one_subset_is_no_table_and_a_caveat_is_said() -> None:
    one = RESULTS | {"by_subset": {"all": {"n": 40, "srcc": 0.8}}, "caveat": "compare ranks"}
    said = description(one, CONFIG)
    assert "subset" not in said
    assert said.startswith("**40 test pictures, judged against MOS** (compare ranks)\n\n")
