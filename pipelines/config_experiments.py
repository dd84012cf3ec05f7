"""Writes the standard experiments as JSON files: `python pipelines/config_experiments.py [--output configs]`.

An experiment of your own is a function that starts from `create_base_config()` and one line in
`generate_all_configs()`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from iqa.cli import run_command
from iqa.config_file import build_config
from iqa.files import write_json

Config = dict[str, Any]


def create_base_config() -> Config:
    """The settings that every experiment starts from."""
    return {
        "experiment_name": "base",
        "data": {
            "dataset": "cifar10",
            "train_samples": 2000,
            "val_samples": 500,
            "test_samples": 500,
            "batch_size": 128,
            "num_workers": 4,
        },
        "model": {
            "backbone": "resnet18",
            "feature_dim": 512,
            "n_clusters": 8,
            "hidden_dim": 512,
            "dropout": 0.3,
            "freeze_backbone": False,
        },
        "training": {
            "epochs": 50,
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
            "optimizer": "adam",
            "scheduler": "reduce_on_plateau",
            "scheduler_params": {"mode": "max", "factor": 0.5, "patience": 5, "min_lr": 1e-6},
        },
    }


def create_resnet18_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "resnet18_gmm_mlp"
    return config


def create_resnet50_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "resnet50_gmm_mlp"
    config["model"]["backbone"] = "resnet50"
    config["training"]["learning_rate"] = 5e-4
    return config


def create_efficientnet_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "efficientnet_gmm_mlp"
    config["model"]["backbone"] = "efficientnet_b0"
    return config


def create_vit_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "vit_gmm_mlp"
    config["model"]["backbone"] = "vit_small_patch16_224"
    config["training"]["learning_rate"] = 5e-4
    return config


def create_4clusters_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "resnet18_4clusters"
    config["model"]["n_clusters"] = 4
    return config


def create_16clusters_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "resnet18_16clusters"
    config["model"]["n_clusters"] = 16
    return config


def create_frozen_config() -> Config:
    config = create_base_config()
    config["experiment_name"] = "resnet18_frozen"
    config["model"].update(freeze_backbone=True, pca_dim=256)
    config["training"]["learning_rate"] = 5e-3
    return config


def create_quick_test_config() -> Config:
    """Needs no network and no GPU: photographs and weights come with installed packages."""
    config = create_base_config()
    config["experiment_name"] = "quick_test"
    config["data"].update(
        dataset="photos", train_samples=1500, val_samples=400, test_samples=400, batch_size=64, picture_size=128
    )
    config["model"].update(backbone="tf_efficientnet_lite0", n_clusters=4, freeze_backbone=True)
    config["model"]["mixture"] = {"dim": 4, "covariance": "tied"}
    config["training"].update(epochs=12, learning_rate=3e-4, scheduler="one_cycle", scheduler_params={})
    return config


def generate_all_configs(output: str | Path = "configs") -> list[Path]:
    """Check every experiment against the schema and write it to `output`/<experiment_name>.json."""
    configs = [
        create_resnet18_config(),
        create_resnet50_config(),
        create_efficientnet_config(),
        create_vit_config(),
        create_4clusters_config(),
        create_16clusters_config(),
        create_frozen_config(),
        create_quick_test_config(),
    ]
    paths = []
    for config in configs:
        build_config(config, where=config["experiment_name"])
        paths.append(Path(output) / f"{config['experiment_name']}.json")
        write_json(paths[-1], config)
    return paths


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", default="configs", help="folder for the JSON files (default: configs)")
    for path in generate_all_configs(parser.parse_args(arguments).output):
        print(path)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
