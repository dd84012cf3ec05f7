"""IQA-PyTorch's own training (`pyiqa.train`) on one of our splits: `pip install pyiqa==0.1.16`, non-commercial licence.

Pictures, table and options file are written to a temporary folder, its training runs there in a process of its own,
and the network that was best on validation scores the test pictures; the metrics are ours. Two of its networks train
without a download: CNNIQA from random weights, and TOPIQ (`CFANet`) over the ImageNet backbone that we use, which
reaches it through its option `pretrain_network`. Its option files cut training pictures at random (`Split.crop`; 384
px there) and test whole pictures. HyperNet and DBCNN ask the network for weights whatever their options say.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from torch import nn
from torchvision.transforms.functional import to_tensor

from iqa import metrics
from iqa.errors import IqaError
from iqa.model.backbone.weights import load_pretrained

from .baseline_features import BACKBONE, Prediction, Split, Vector

RUN = "import sys; from pyiqa.train import train_pipeline; train_pipeline(sys.argv.pop())"


def topiq(split: Split) -> Prediction:
    """TOPIQ by its KonIQ options, learning rate 1e-4 instead of 3e-5: that one is for 200 epochs."""
    facts = timm.get_pretrained_cfg(BACKBONE)
    network = {
        "type": "CFANet",
        "use_ref": False,
        "pretrained": False,
        "semantic_model_name": BACKBONE,
        "backbone_pretrain": False,
        "default_mean": list(facts.mean),
        "default_std": list(facts.std),
    }
    settings = {
        "optim": {"type": "AdamW", "lr": 1e-4, "weight_decay": 1e-5},
        "scheduler": {"type": "CosineAnnealingLR", "T_max": split.epochs, "eta_min": 0},
        "mos_loss_opt": {"type": "MSELoss", "loss_weight": 1.0},
        "metric_loss_opt": {"type": "NiNLoss", "loss_weight": 1.0},
    }
    return run(split, network, settings, batch=16, start=write_backbone)


def cnniqa(split: Split) -> Prediction:
    """CNNIQA by its KonIQ options, from random weights; the learning rate halves in fifths of the run, as there."""
    steps = sorted({max(1, split.epochs * fifth // 5) for fifth in range(1, 5)})
    settings = {
        "optim": {"type": "AdamW", "lr": 1e-3},
        "scheduler": {"type": "MultiStepLR", "milestones": steps, "gamma": 0.5},
        "mos_loss_opt": {"type": "MSELoss", "loss_weight": 1.0},
    }
    return run(split, {"type": "CNNIQA", "pretrained": None}, settings, batch=64)


def run(
    split: Split,
    network: dict[str, Any],
    settings: dict[str, Any],
    batch: int,
    start: Callable[[Path], None] | None = None,
) -> Prediction:
    """Train one of its networks and score with the one that was best on validation.

    Args:
        network, settings: the sections "network" and "train" of its options file.
        start: writes the weights that training starts from; None: random ones.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_pictures(split, folder)
        weights = folder / "start.pth" if start else None
        if start and weights:
            start(weights)
        options = options_of(split, folder, network, settings, batch, weights)
        (folder / "options.yml").write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
        began = time.perf_counter()
        best = train(folder, split)
        fit_seconds = time.perf_counter() - began
        return score(
            split, network, best, fit_seconds, {"epochs": split.epochs, "crop": split.crop, **settings["optim"]}
        )


def write_pictures(split: Split, folder: Path) -> None:
    """Its dataset's files: pictures without loss, and a table of name, score and part."""
    (folder / "pictures").mkdir()
    rows = ["name,mos,split"]
    for number, row in enumerate(split.table.itertuples(index=False)):
        name = f"{number:06d}.png"
        split.pictures.read(row.image).save(folder / "pictures" / name, compress_level=1)
        rows.append(f"{name},{row.score},{row.split}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_backbone(path: Path) -> None:
    """ImageNet weights under the names that they have inside CFANet."""
    net = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
    load_pretrained(net, BACKBONE)
    stages = timm.create_model(BACKBONE, pretrained=False, features_only=True).state_dict()
    torch.save({"params": {f"semantic_model.{key}": net.state_dict()[key] for key in stages}}, path)


def options_of(
    split: Split, folder: Path, network: dict[str, Any], settings: dict[str, Any], batch: int, weights: Path | None
) -> dict[str, Any]:
    """Its options file. The best network is kept by SRCC on validation, measured after every epoch."""
    batch = min(batch, len(split.part("train")))
    source = {
        "name": "biq2021",
        "type": "GeneralNRDataset",
        "dataroot_target": str(folder / "pictures"),
        "meta_info_file": str(folder / "table.csv"),
        "split_index": "split",
        "num_worker_per_gpu": split.workers,
    }
    augment = {"augment": {"hflip": True, "random_crop": split.crop}, "use_shuffle": True, "batch_size_per_gpu": batch}
    return {
        "name": "baseline",
        "model_type": "GeneralIQAModel",
        "num_gpu": min(1, torch.cuda.device_count()),
        "manual_seed": split.seed,
        "datasets": {"train": {**source, **augment}, "val": {**source, "batch_size_per_gpu": 1}},
        "network": network,
        "path": {"pretrain_network": str(weights) if weights else None, "strict_load": False, "resume_state": None},
        "train": {**settings, "total_epoch": split.epochs, "warmup_iter": -1},
        "val": {
            "val_freq": len(split.part("train")) // batch,
            "save_img": False,
            "key_metric": "srcc",
            "metrics": {"srcc": {"type": "calculate_srcc"}, "plcc": {"type": "calculate_plcc"}},
        },
        "logger": {"print_freq": 50, "save_checkpoint_freq": 1e12, "save_latest_freq": 1e12, "use_tb_logger": False},
    }


def train(folder: Path, split: Split) -> Path:
    """Run its training on `folder/options.yml`; the weights that were best on validation.

    Raises:
        IqaError: it failed, or kept no network because SRCC was undefined throughout.
    """
    command = [sys.executable, "-c", RUN, "-opt", str(folder / "options.yml"), str(folder)]
    log = folder / "log.txt"
    with log.open("w") as file:
        print(f"IQA-PyTorch, split {split.seed}: training, log in {log}", file=sys.stderr)
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    best = folder / "experiments" / "baseline" / "models" / "net_best.pth"
    if done.returncode or not best.exists():
        raise IqaError("pyiqa.train failed", got="\n".join(log.read_text().splitlines()[-15:]))
    return best


@torch.inference_mode()
def score(split: Split, network: dict[str, Any], best: Path, fit_seconds: float, chosen: dict[str, Any]) -> Prediction:
    """Whole pictures one by one, as its own validation does."""
    from pyiqa.archs import build_network

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net: nn.Module = build_network(network).to(device)
    net.load_state_dict(torch.load(best, map_location=device, weights_only=True)["params"])
    net.eval()

    def predict(name: str) -> Vector:
        images = (to_tensor(split.pictures.read(image)) for image in split.part(name)["image"])
        return np.array([net(image.unsqueeze(0).to(device)).item() for image in images])

    val = predict("val")
    began = time.perf_counter()
    test = predict("test")
    picture_ms = 1000 * (time.perf_counter() - began) / len(test)
    srcc = metrics.srcc(val, split.scores("val"))
    return Prediction(val, test, fit_seconds, picture_ms, {**chosen, "validation_srcc": srcc})
