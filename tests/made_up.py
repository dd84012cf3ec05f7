"""A made-up evaluation as a trained model would leave it: real photographs, plausible errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from skimage import data, transform

from iqa.data.manifest import DISTORTIONS, PRISTINE
from iqa.data.synthetic.distortions import distort
from iqa.evaluation.evaluated import PSEUDO, Evaluated

_PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "cat")


def clean_pictures(side: int) -> list[np.ndarray]:
    """Square uint8 photographs that scikit-image carries inside its package."""
    pictures = [getattr(data, name)() for name in _PHOTOS]
    squares = [picture[: min(picture.shape[:2]), : min(picture.shape[:2])] for picture in pictures]
    return [(255 * transform.resize(square, (side, side), anti_aliasing=True)).astype(np.uint8) for square in squares]


def make_table(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Distortions spread over contents, with scores that fall with the level as people's do."""
    kinds = [PRISTINE, *DISTORTIONS]
    kind = np.array([kinds[row % len(kinds)] for row in range(n)])
    random.shuffle(kind)
    level = np.where(kind == PRISTINE, 0, random.integers(1, 6, size=n))
    harm = {name: random.uniform(0.3, 1.0) for name in kinds}
    score = np.array([0.92 - 0.17 * harm[k] * step for k, step in zip(kind, level, strict=True)])
    score = np.clip(score + 0.03 * random.normal(size=n), 0, 1).astype(np.float32)
    content = [f"photo_{row % max(2, n // 20):03}" for row in range(n)]
    return pd.DataFrame(
        {
            "image": [f"{name}.png" for name in content],
            "content": content,
            "split": "test",
            "kind": kind,
            "level": level,
            "score": score,
        }
    )


def make_evaluated(
    n: int = 400, n_clusters: int = 8, *, seed: int = 0, side: int = 96, score_name: str = PSEUDO
) -> Evaluated:
    """A test split of `n` pictures; the mixture's components lean on the group of distortion."""
    random = np.random.default_rng(seed)
    table = make_table(n, random)
    true = table["score"].to_numpy()
    predicted = 0.1 + 0.95 * true**1.3 - 0.1 * true + 0.07 * random.normal(size=n)
    groups = pd.Series([DISTORTIONS.get(kind, kind) for kind in table["kind"]])
    codes = groups.astype("category").cat.codes.to_numpy()
    centres = 2.0 * random.normal(size=(codes.max() + 1, 64))
    features = centres[codes] * (1.2 - true[:, None]) + random.normal(size=(n, 64))
    shares = None
    if n_clusters:
        logits = 1.2 * random.normal(size=(n, n_clusters))
        logits[np.arange(n), codes % max(1, n_clusters - 1)] += 3
        shares = torch.softmax(torch.from_numpy(logits), dim=1).numpy().astype(np.float32)
    clean = clean_pictures(side)

    def thumbnail(row: int) -> np.ndarray:
        picture = torch.from_numpy(clean[row % len(clean)]).permute(2, 0, 1)[None]
        kind, level = str(table["kind"].iloc[row]), max(1, int(table["level"].iloc[row]))
        return distort(picture, kind, level, [row])[0].permute(1, 2, 0).numpy()

    return Evaluated(
        predicted=predicted.astype(np.float32),
        true=true,
        responsibilities=shares,
        log_likelihood=None if shares is None else (-20 + 3 * random.normal(size=n)).astype(np.float32),
        z=None if shares is None else features[:, :4].astype(np.float32),
        features=features.astype(np.float32),
        table=table,
        thumbnail=thumbnail,
        score_name=score_name,
    )


def make_history(epochs: int = 30, *, seed: int = 0) -> list[dict[str, Any]]:
    """Records of a training that learns, overfits a little and has its learning rate halved."""
    random = np.random.default_rng(seed)
    history = []
    for epoch in range(1, epochs + 1):
        learnt = 1 - np.exp(-epoch / 6)
        record: dict[str, Any] = {"epoch": epoch, "learning_rate": 1e-3 * 0.5 ** (epoch // 9)}
        for part, gap in (("train", 0.0), ("val", 0.05 + 0.001 * epoch)):
            noise = 0.01 * random.normal(size=3)
            record[f"{part}_loss"] = 0.08 + 0.5 * (1 - learnt) + gap + noise[0]
            record[f"{part}_srcc"] = 0.93 * learnt - gap + noise[1]
            record[f"{part}_plcc"] = 0.94 * learnt - gap + noise[2]
        history.append(record)
    return history
