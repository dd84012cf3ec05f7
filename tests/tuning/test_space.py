"""What may be searched: any setting that leaves the pictures alone, with values that the schema takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.helpers.pretended import config
from iqa.config.reading import load_config
from iqa.errors import UserError
from iqa.tuning import advice
from iqa.tuning.space import apply, is_whole, read_space, spread

RATE, CLUSTERS = "training.learning_rate", "model.n_clusters"


def test_the_usual_space_is_narrowed_widened_and_left_out_key_by_key() -> None:
    space = read_space(
        config(tuning__space={RATE: {"low": 1e-5, "high": 1e-3, "log": True}, "model.dropout": {"low": 0, "high": 0.5}})
    )
    assert set(space) == {RATE, CLUSTERS, "model.dropout"}
    assert space[RATE].low == 1e-5
    assert set(read_space(config(tuning__space={CLUSTERS: None}))) == {RATE}


def test_the_command_line_reaches_into_the_space(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"experiment_name": "c"}))
    told = ["--tuning.space.model.dropout.low", "0.1", "--tuning.space.model.dropout.high", "0.4"]
    space = read_space(load_config(tmp_path / "c.json", told))
    assert space["model.dropout"].model_dump() == {"low": 0.1, "high": 0.4, "log": False}


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ({"model.dropuot": {"low": 0, "high": 0.5}}, "did you mean 'model.dropout'"),
        ({RATE: {"low": 1e-2, "high": 1e-2}}, "empty"),
        ({RATE: {"low": 0, "high": 1e-2, "log": True}}, "log range cannot begin at 0"),
        ({CLUSTERS: {"choices": []}}, "at least 1 item"),
        ({CLUSTERS: {"choices": [4, 4]}}, "twice"),
        ({"model.dropout": {"low": 0, "high": 1.5}}, "model.dropout"),
        ({"data.split_seed": {"low": 0, "high": 5}}, "cannot be searched"),
        ({"training.seed": {"low": 0, "high": 5}}, "cannot be searched"),
        ({RATE: None, CLUSTERS: None}, "nothing is left to search"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_by_name(space: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint.replace("(", r"\(")):
        read_space(config(tuning__space=space))


def test_values_are_put_where_their_keys_say() -> None:
    changed = apply(config(), {RATE: 0.5, "training.loss.correlation": 2.0})
    assert changed.training.learning_rate == 0.5
    assert changed.training.loss.correlation == 2.0
    with pytest.raises(UserError, match=r"learning_rate=-1"):
        apply(config(), {RATE: -1})


def test_ranges_are_whole_where_their_setting_is() -> None:
    base = config(tuning__space={"model.hidden_dim": {"low": 64, "high": 512}, "model.dropout": {"low": 0, "high": 1}})
    space = base.tuning.searched
    assert is_whole("model.hidden_dim", space["model.hidden_dim"], base)
    assert not is_whole("model.dropout", space["model.dropout"], base)
    assert spread(space["model.hidden_dim"], 3, whole=True) == [64, 288, 512]
    assert spread(base.tuning.searched[RATE], 3) == [1e-4, 1e-3, 1e-2]


@pytest.mark.parametrize(
    ("backbone", "frozen", "rate"),
    [
        ("resnet18", False, 1e-3),
        ("resnet34", False, 1e-3),
        ("resnet50", False, 5e-4),
        ("vit_small_patch16_224", False, 5e-4),
        ("swin_tiny_patch4_window7_224", False, 5e-4),
        ("efficientnet_b0", False, None),
        ("resnet18", True, 5e-3),
    ],
)
def test_the_guide_advises_a_rate_by_backbone(backbone: str, frozen: bool, rate: float | None) -> None:
    assert advice.learning_rate(config(model__backbone=backbone, model__freeze_backbone=frozen).model) == rate


def test_the_guide_advises_clusters_by_the_number_of_pictures() -> None:
    assert [advice.clusters(count) for count in (500, 1000, 5000, 20000)] == [(4, 6), (8, 12), (8, 12), (12, 16)]
    base = config(model__freeze_backbone=True)
    assert advice.as_values(base.model, 2000, base.tuning.searched) == {RATE: 5e-3, CLUSTERS: 8}
