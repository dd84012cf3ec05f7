"""A checkpoint without a training: a small model whose scores differ from picture to picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from iqa.config.reading import build_config
from iqa.model.quality import QualityModel
from iqa.training.checkpoints import save_checkpoint

SIDE = 48


def write_experiment(
    folder: Path,
    *,
    clusters: int = 3,
    seed: int = 0,
    precision: str = "auto",
    backbone: str = "test_resnet",
    **content: Any,
) -> Path:
    """An experiment folder with best_model.pth; `content` is added to the checkpoint."""
    config = build_config(
        {
            "experiment_name": folder.name,
            "data": {"dataset": "photos", "picture_size": SIDE, "image_size": SIDE},
            "model": {
                "backbone": backbone,
                "pretrained": False,
                "feature_dim": 16,
                "hidden_dim": 16,
                "n_clusters": clusters,
                "mixture": {"dim": 2},
            },
            "training": {"device": "cpu", "precision": precision},
        }
    )
    torch.manual_seed(seed)
    model = QualityModel.from_config(config.model, SIDE).eval()
    with torch.no_grad():
        torch.nn.init.normal_(model.head.regressor[-1].weight, std=1.0)
        if clusters:
            seen = torch.randint(0, 256, (40, 3, SIDE, SIDE), dtype=torch.uint8) // torch.randint(1, 9, (40, 1, 1, 1))
            embeddings = model.head.embed(model.features(seen.to(torch.uint8)))
            model.start_mixture(embeddings, torch.arange(40) % 3, config.model.mixture)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    save_checkpoint(
        folder / "best_model.pth",
        {
            "config": config.to_dict(),
            "image_size": SIDE,
            "picture_size": SIDE,
            "score_name": "MOS",
            "model": model.state_dict(),
            "epoch": 7,
            **content,
        },
    )
    return folder


def picture(number: int, width: int = 90, height: int = 60) -> Image.Image:
    """A picture of its own kind for each number: coarse colours, noise, a gradient."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (3 + number % 5, 4, 3), dtype=np.uint8)).resize((width, height))
    noise = random.normal(0, 4 * (number % 9), (height, width, 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
