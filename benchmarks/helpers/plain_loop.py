"""The training that one would write by hand: CNN features, mixture posteriors, MLP, in the usual plain way.

Picture files opened with Pillow, resized to 224 px, made tensors and normalised in every epoch by two workers of a
`DataLoader`; float32, contiguous; `loss.item()` at every step; scikit-learn's PCA and mixture, fitted once after the
first epoch, on the way between network and MLP; SRCC by scipy; the best epoch saved, and tested once at the end.
Backbone, weights, loss, optimiser, schedule, clipping and mirroring are those of the project's config.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from iqa.config import ExperimentConfig
from iqa.data.manifest import SPLITS
from iqa.data.prepared import PixelStore
from iqa.model.backbone.networks import pretrained_config
from iqa.model.backbone.weights import load_pretrained
from iqa.training.losses import quality_loss

SIDE, WORKERS = 224, 2

Loader = DataLoader[tuple[Tensor, float]]


@dataclass(frozen=True)
class Part:
    """Picture files of a split, with their scores."""

    files: Sequence[Path]
    scores: Sequence[float]


@dataclass(frozen=True)
class Outcome:
    """What a training took, and what it reached.

    Attributes:
        seconds: of each epoch: training, validation, what is saved.
        test_srcc: of the epoch that validation chose.
        before: seconds until the first epoch.
    """

    seconds: tuple[float, ...]
    test_srcc: float
    before: float


def write_pictures(store: PixelStore, folder: Path) -> dict[str, Part]:
    """The prepared pictures as PNG files, by split."""
    folder.mkdir(parents=True)
    parts = {}
    for split in SPLITS:
        rows = store.indices(split).tolist()
        files = [folder / f"{row}.png" for row in rows]
        for row, file in zip(rows, files, strict=True):
            Image.fromarray(store.images[row].permute(1, 2, 0).numpy()).save(file)
        parts[split] = Part(files, store.scores[rows].tolist())
    return parts


class Pictures(Dataset[tuple[Tensor, float]]):
    """Files, decoded and resized each time that they are asked for."""

    def __init__(self, part: Part, backbone: str, *, flip: bool) -> None:
        facts = pretrained_config(backbone)
        mirror = [transforms.RandomHorizontalFlip()] if flip else []
        self._part = part
        self._transform = transforms.Compose(
            [
                transforms.Resize((SIDE, SIDE)),
                *mirror,
                transforms.ToTensor(),
                transforms.Normalize(facts["mean"], facts["std"]),
            ]
        )

    def __len__(self) -> int:
        return len(self._part.files)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        picture = Image.open(self._part.files[index]).convert("RGB")
        return self._transform(picture), self._part.scores[index]


class PlainModel(nn.Module):
    """timm's pooled features, a mixture's posteriors of them, and an MLP over both."""

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        model, seed = config.model, config.training.seed
        self.frozen = model.freeze_backbone
        net: Any = timm.create_model(model.backbone, pretrained=False, num_classes=0)
        if model.pretrained:
            load_pretrained(net, model.backbone)
        self.backbone = net.requires_grad_(not self.frozen)
        self.pca = PCA(model.mixture.dim, random_state=seed)
        self.mixture = GaussianMixture(
            model.n_clusters,
            covariance_type="diag",
            reg_covar=model.mixture.reg_covar,
            n_init=model.mixture.n_init,
            random_state=seed,
        )
        self.fitted = False
        self.embedding = nn.Sequential(nn.Linear(net.num_features, model.feature_dim), nn.ReLU())
        self.head = nn.Sequential(
            nn.Dropout(model.dropout),
            nn.Linear(model.feature_dim + model.n_clusters, model.hidden_dim),
            nn.ReLU(),
            nn.Dropout(model.dropout),
            nn.Linear(model.hidden_dim, 1),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.backbone(pixels)
        inputs = torch.cat([self.embedding(features), self.posteriors(features)], dim=1)
        score: Tensor = self.head(inputs).squeeze(1)
        return score

    def posteriors(self, features: Tensor) -> Tensor:
        """Of each cluster [B, K]; zeros until the mixture is fitted."""
        if not self.fitted:
            return features.new_zeros(len(features), self.mixture.n_components)
        found = self.mixture.predict_proba(self.pca.transform(features.detach().cpu().numpy()))
        return torch.as_tensor(found, dtype=features.dtype, device=features.device)

    @torch.no_grad()
    def fit_mixture(self, loader: Loader, device: torch.device) -> None:
        self.eval()
        features = np.concatenate([self.backbone(pixels.to(device)).cpu().numpy() for pixels, _ in loader])
        self.mixture.fit(self.pca.fit_transform(features))
        self.fitted = True

    def train(self, mode: bool = True) -> PlainModel:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def train_plain(config: ExperimentConfig, parts: dict[str, Part], file: Path, device: torch.device) -> Outcome:
    """Train, keep the best epoch by validation in `file`, test it. An epoch without the mixture is not kept."""
    started, settings = time.perf_counter(), config.training
    torch.manual_seed(settings.seed)
    model = PlainModel(config).to(device)
    loaders = {name: load(part, config, training=name == "train") for name, part in parts.items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * len(loaders["train"])
    schedule = OneCycleLR(optimizer, max_lr=settings.learning_rate, total_steps=steps)
    best, seconds, before = -2.0, [], time.perf_counter() - started
    for epoch in range(settings.epochs):
        began = time.perf_counter()
        if epoch == 1:
            model.fit_mixture(loaders["train"], device)
        train_epoch(model, loaders["train"], config, optimizer, schedule, device)
        srcc = judge(model, loaders["val"], device)
        if model.fitted and srcc > best:
            best = srcc
            torch.save(model.state_dict(), file)
        seconds.append(time.perf_counter() - began)
    model.load_state_dict(torch.load(file))
    return Outcome(tuple(seconds), judge(model, loaders["test"], device), before)


def load(part: Part, config: ExperimentConfig, *, training: bool) -> Loader:
    flip = training and config.training.flip and not config.model.freeze_backbone
    return DataLoader(
        Pictures(part, config.model.backbone, flip=flip),
        batch_size=config.data.batch,
        shuffle=training,
        drop_last=training,
        num_workers=WORKERS,
    )


def train_epoch(
    model: PlainModel,
    loader: Loader,
    config: ExperimentConfig,
    optimizer: torch.optim.Optimizer,
    schedule: OneCycleLR,
    device: torch.device,
) -> float:
    """Mean loss of the epoch."""
    model.train()
    total = 0.0
    for pixels, scores in loader:
        predicted = model(pixels.to(device))
        loss = quality_loss(predicted, scores.float().to(device), config.training.loss)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.training.clip_gradient)
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def judge(model: PlainModel, loader: Loader, device: torch.device) -> float:
    """SRCC in [-1, 1]; -1 where all predictions are the same."""
    model.eval()
    predicted, true = [], []
    for pixels, scores in loader:
        predicted += model(pixels.to(device)).cpu().tolist()
        true += scores.tolist()
    return float(np.nan_to_num(spearmanr(predicted, true).statistic, nan=-1.0))
