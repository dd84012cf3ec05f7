"""What the loop is fed: one square of each picture to learn from, all of them to be judged by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from iqa.data.manifest import UNIT
from iqa.data.prepared import PixelStore
from iqa.data.store.views import ViewPolicy
from iqa.training.feeds import FeatureFeed, PixelFeed
from iqa.training.frozen.table import Features

COUNTS = [1, 3, 2, 4, 1, 2, 3, 1]
CPU = torch.device("cpu")


@pytest.fixture
def store() -> PixelStore:
    """Eight pictures; the pixels of a square tell its row."""
    starts = torch.tensor([0, *np.cumsum(COUNTS)])
    images = torch.arange(int(starts[-1]), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()
    split = ["train"] * 5 + ["val"] * 2 + ["test"]
    return PixelStore(
        manifest=pd.DataFrame({"split": split, "kind": [""] * len(COUNTS)}),
        images=images,
        starts=starts,
        scores=torch.linspace(0, 1, len(COUNTS)),
        digest="",
        squares_digest="",
        views=ViewPolicy(4),
        score_name="MOS",
        scale=UNIT,
    )


def owners(store: PixelStore, rows: torch.Tensor) -> torch.Tensor:
    return torch.searchsorted(store.starts, rows, right=True) - 1


@pytest.mark.parametrize("kind", ["pixels", "features"])
def test_training_sees_one_square_of_every_picture_with_its_score(store: PixelStore, kind: str) -> None:
    def feed_rows(inputs: Any) -> torch.Tensor:
        return (inputs.own[:, 0, 0, 0] if kind == "pixels" else inputs[:, 0]).long()

    features = Features([torch.arange(len(store.images), dtype=torch.float32)[:, None]])
    feed = PixelFeed(store, 2, CPU, flip=False) if kind == "pixels" else FeatureFeed(store, features, 2, CPU)
    seen: dict[int, set[int]] = {}
    for seed in range(40):
        batches = list(feed.training(seed))
        assert [len(scores) for _, scores in batches] == [2, 2]  # the fifth picture makes no whole batch
        rows = torch.cat([feed_rows(inputs) for inputs, _ in batches])
        whose = owners(store, rows)
        assert len(set(whose.tolist())) == 4
        assert torch.equal(torch.cat([scores for _, scores in batches]), store.scores[whose])
        for picture, row in zip(whose.tolist(), rows.tolist(), strict=True):
            seen.setdefault(picture, set()).add(row)
    assert [len(seen[picture]) for picture in range(5)] == COUNTS[:5]
    again = torch.cat([feed_rows(inputs) for inputs, _ in feed.training(39)])
    assert torch.equal(again, rows)


def test_judging_sees_every_square_and_averages_over_a_picture(store: PixelStore) -> None:
    feed = PixelFeed(store, 4, CPU, flip=False)
    rows = torch.cat([inputs.own[:, 0, 0, 0].float() for inputs in feed.inputs("val")])
    assert torch.equal(rows, torch.tensor([11.0, 12, 13, 14, 15]))
    assert torch.equal(feed.pool("val", rows), torch.tensor([11.5, 14.0]))
    assert torch.equal(feed.pool("val", torch.stack([rows, -rows], 1)), torch.tensor([[11.5, -11.5], [14.0, -14.0]]))
    assert torch.equal(feed.scores("val"), store.scores[5:7])


def test_mirroring_mirrors_about_half(store: PixelStore) -> None:
    store.images[..., 0] = 255
    feed = PixelFeed(store, 4, CPU, flip=True)
    mirrored = [float(bool((image[..., -1] == 255).all())) for seed in range(50) for images, _ in feed.training(seed)
                for image in images.own]  # fmt: skip
    assert 0.35 < np.mean(mirrored) < 0.65


def test_count_is_of_pictures(store: PixelStore) -> None:
    feed = PixelFeed(store, 4, CPU, flip=False)
    assert SimpleNamespace(**{split: feed.count(split) for split in ("train", "val", "test")}) == SimpleNamespace(
        train=5, val=2, test=1
    )
