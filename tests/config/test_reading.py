"""Settings: what a user writes is what they get, and what cannot be is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from places import ROOT

from iqa.commands.configs import generate_all_configs
from iqa.config import ExperimentConfig
from iqa.config.reading import (
    build_config,
    describe_config,
    load_config,
    override_config,
    parse_overrides,
    strip_comments,
)
from iqa.config.recipes import create_base_config
from iqa.errors import UserError

GUIDE = """{
    // the guide's keys alone
    "experiment_name": "mine",
    "data": {"dataset": "cifar10", "train_samples": 2000, "val_samples": 500, "test_samples": 500,
             "batch_size": 128, "num_workers": 4},   /* a block
    comment */
    "model": {"backbone": "resnet34", "feature_dim": 512, "n_clusters": 8, "hidden_dim": 512, "dropout": 0.3,
              "freeze_backbone": false},
    "training": {"epochs": 50, "learning_rate": 0.001, "weight_decay": 1e-4, "optimizer": "adam",
                 "scheduler": "reduce_on_plateau",
                 "scheduler_params": {"mode": "max", "factor": 0.5, "patience": 5, "min_lr": 1e-6,},
    },
}"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(GUIDE)
    return path


def test_a_file_with_the_guides_keys_and_comments_is_read(guide: Path) -> None:
    config = load_config(guide)
    assert config.model.backbone == "resnet34"
    assert config.training.scheduler_params["min_lr"] == 1e-6
    assert config.training.loss.cluster_loss > 0  # our own keys have defaults


def test_comments_inside_strings_are_text() -> None:
    text = '{"root": "http://a/b", "x": "/* y */", "z": ",}"} // gone'
    assert json.loads(strip_comments(text)) == {"root": "http://a/b", "x": "/* y */", "z": ",}"}


def test_broken_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{\n// fine\n"experiment_name" "x"}')
    with pytest.raises(UserError, match="line 3"):
        load_config(path)


def test_overrides_reach_any_depth(guide: Path) -> None:
    config = load_config(guide, ["--model.n_clusters", "12", "--training.loss.cluster_loss=0", "--data.root", "/a b"])
    assert (config.model.n_clusters, config.training.loss.cluster_loss, config.data.root) == (12, 0, "/a b")
    assert override_config(config, ["--model.n_clusters", "0"]).model.n_clusters == 0


def test_none_is_a_schedule_and_null_an_absence(guide: Path) -> None:
    overrides = [
        "--training.scheduler",
        "none",
        "--training.scheduler_params",
        "{}",
        "--data.image_size",
        "null",
    ]
    config = load_config(guide, overrides)
    assert config.training.scheduler == "none"
    assert config.data.image_size is None


def test_another_schedule_leaves_the_first_ones_settings_behind(guide: Path) -> None:
    config = load_config(guide, ["--training.scheduler", "cosine"])
    assert config.training.scheduler_params == {}


def test_photographs_from_packages_leave_another_sets_folder_behind() -> None:
    trained = override_config(ExperimentConfig(experiment_name="own"), ["--data.root", "CIFAR10"])
    assert override_config(trained, ["--data.dataset", "photos"]).data.root is None


def test_flat_and_nested_settings_are_the_same_settings(guide: Path) -> None:
    config = load_config(guide)
    again = build_config(config.to_dict())
    assert again == config
    flat = [argument for key, value in config.flat().items() for argument in (f"--{key}", json.dumps(value))]
    assert override_config(ExperimentConfig(experiment_name="other"), flat) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["--model.n_cluster", "3"], "did you mean 'model.n_clusters'"),
        (["--data.n_clusters", "3"], "did you mean 'model.n_clusters'"),
        (["--training.lr", "3"], "did you mean 'training.learning_rate'"),
        (["--training.epochs", "many"], "training.epochs: got 'many'"),
        (["--model.dropout", "1.5"], "model.dropout: got 1.5"),
        (["--training.learning_rate", "NaN"], "training.learning_rate"),
        (["--data.train_samples", "6"], "8 clusters cannot be found in 6 training pictures"),
        (["--data.dataset", "folder"], "needs data.root"),
        (["--data.dataset", "photos", "--data.root", "MINE"], "data.root: got 'MINE'"),
        (
            ["--training.scheduler_params.eta_min", "0"],
            "'eta_min' is no setting of scheduler 'reduce_on_plateau'",
        ),
        (["--data.dataset", "cifar11"], "data.dataset"),
        (["--experiment_name", "../up"], "experiment_name"),
        (["--model", "3"], "model"),
        (["--model.n_clusters"], "has no value"),
        (["stray"], "has no place"),
    ],
)
def test_what_cannot_be_is_refused_by_name(guide: Path, override: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(guide, override)
    assert message in str(error.value)


def test_a_missing_config_suggests_its_neighbour(guide: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'mine\.json'"):
        load_config(guide.with_name("mime.json"))


def test_equals_sign_and_space_mean_the_same() -> None:
    assert parse_overrides(["--a.b=1"]) == parse_overrides(["--a.b", "1"]) == [("a.b", 1)]


def test_the_standard_configs_are_what_the_repository_holds(tmp_path: Path) -> None:
    written = generate_all_configs(tmp_path)
    assert [path.stem for path in written] == [
        "resnet18_gmm_mlp",
        "resnet50_gmm_mlp",
        "efficientnet_gmm_mlp",
        "vit_gmm_mlp",
        "resnet18_4clusters",
        "resnet18_16clusters",
        "resnet18_frozen",
        "quick_test",
        "biq2021_finetuned",
        "biq2021_frozen",
        "biq2021_lite0",
    ]
    for path in written:
        assert (ROOT / "configs" / path.name).read_text() == path.read_text()


@pytest.mark.parametrize(
    ("name", "learning_rate"),
    [
        ("resnet18_gmm_mlp", 1e-3),
        ("resnet50_gmm_mlp", 5e-4),
        ("efficientnet_gmm_mlp", 1e-3),
        ("vit_gmm_mlp", 5e-4),
        ("resnet18_frozen", 5e-3),
    ],
)
def test_learning_rates_are_the_guides(name: str, learning_rate: float) -> None:
    assert load_config(ROOT / "configs" / f"{name}.json").training.learning_rate == learning_rate


def test_an_own_experiment_starts_from_the_base_config() -> None:
    config = create_base_config()
    config["experiment_name"] = "my_custom"
    config["model"]["backbone"] = "resnet34"
    assert build_config(config).model.backbone == "resnet34"
    assert create_base_config()["model"]["backbone"] == "resnet18"  # each call is a fresh copy


@pytest.mark.parametrize("text", ["20261128", "1e5", "true", "none", "1.50", '"quoted"'])
@pytest.mark.parametrize("key", ["experiment_name", "data.root", "model.weights"])
def test_text_stays_text_where_the_setting_is_text(guide: Path, key: str, text: str) -> None:
    config = load_config(guide, [f"--{key}", text])
    assert config.flat()[key] == text.strip('"')


def test_null_is_nothing_where_there_may_be_nothing(guide: Path) -> None:
    assert load_config(guide, ["--data.root", "null"]).data.root is None


def test_every_setting_is_shown_with_where_it_comes_from(guide: Path) -> None:
    lines = {line.split()[0]: line for line in describe_config(guide, ["--training.epochs", "7"]).splitlines()}
    assert set(lines) == set(load_config(guide).flat())
    assert lines["training.epochs"].split() == ["training.epochs", "7", "command", "line"]
    assert lines["model.backbone"].split() == ["model.backbone", '"resnet34"', str(guide)]
    assert lines["data.seed"].split()[-1] == "default"
