"""The standard experiments: those of the guide, and those on pictures that people scored.

An experiment of your own is a function that starts from `create_base_config()` and one entry in RECIPES; or a JSON file
that names what differs from the defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

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
    # Nine photographs to learn from: what they show is not to be learned, so a small head sees early maps.
    config["model"].update(stages="early", normalise="by_map", feature_dim=256, hidden_dim=128, dropout=0.7)
    # Late, when the embedding has settled: what happened to pictures then tells the clusters apart.
    config["model"]["mixture"] = {"dim": 4, "warmup_epochs": 8}
    config["training"].update(epochs=12, optimizer="adamw", weight_decay=0.3, ema_decay=0.99)
    config["training"].update(scheduler="one_cycle", scheduler_params={})
    return config


RECIPES: dict[str, Callable[[], Config]] = {
    "resnet18_gmm_mlp": create_resnet18_config,
    "resnet50_gmm_mlp": create_resnet50_config,
    "efficientnet_gmm_mlp": create_efficientnet_config,
    "vit_gmm_mlp": create_vit_config,
    "resnet18_4clusters": create_4clusters_config,
    "resnet18_16clusters": create_16clusters_config,
    "resnet18_frozen": create_frozen_config,
    "quick_test": create_quick_test_config,
}


def recipe_texts() -> dict[str, str]:
    """The JSON text of every standard experiment by its name; those on scored pictures say what they reached."""
    texts = {name: json.dumps(create(), indent=2) + "\n" for name, create in RECIPES.items()}
    scored = resources.files("iqa.config").joinpath("scored")
    for file in sorted(scored.iterdir(), key=lambda file: file.name):
        texts[file.name.removesuffix(".json")] = file.read_text(encoding="utf-8")
    return texts
