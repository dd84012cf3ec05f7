"""What a model says of pictures that it did not learn from, so that its errors on new ones can be told.

Behind a frozen backbone the head is trained anew without some contents after the other, and no picture has to be set
aside (cross-conformal prediction: Vovk, Annals of Mathematics and Artificial Intelligence 74, 2015). A trained backbone
would take several trainings: there half of the validation contents choose no epoch, and are asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from torch import Tensor

from iqa.calibration import IDENTITY
from iqa.config import ExperimentConfig
from iqa.conformal import Said, fit_intervals
from iqa.data.prepared import HELD, PixelStore
from iqa.device import autocast
from iqa.metrics import LogisticFit
from iqa.model.quality import QualityModel
from iqa.progress import progress_bar
from iqa.training.build import build_model
from iqa.training.feeds import FeatureFeed, Feed
from iqa.training.loop import Trainer

#: Heads that are trained anew, the fewest contents that they are trained on and asked about, and the fewest pictures of
#: one: a correlation needs two.
FOLDS, LEAST_CONTENTS, LEAST_PICTURES = 5, 3, 2

Answers = tuple[Said, NDArray[np.float64]]


def ask_held_out(trainer: Trainer, model: QualityModel) -> Answers | None:
    """The kept model's answers to the validation pictures that chose no epoch, and people's scores of them.

    Returns:
        None where none were set aside.
    """
    if not trainer.feed.count(HELD):
        return None
    return _ask(model, trainer.feed, HELD, trainer), _true(trainer.feed, HELD)


def ask_out_of_fold(
    trainer: Trainer, model: QualityModel, config: ExperimentConfig, store: PixelStore, epochs: int
) -> Answers | None:
    """Answers to all training and validation pictures, each by a head that learned from other contents.

    Which component a picture is in is said by the kept model: new pictures are sorted by it, too.

    Args:
        trainer: of the training that is over, on features of a frozen backbone.
        model: what it kept.
        epochs: how many that took; the heads take as many.

    Returns:
        None where there are too few contents.
    """
    feed, parts = trainer.feed, []
    assert isinstance(feed, FeatureFeed)
    folds = list(_folds(store))
    total = len(folds) * epochs
    with progress_bar(total=total, desc="heads for intervals", unit="epochs", shown=trainer.shows, leave=False) as bar:
        for fold in folds:
            other = feed.split_as(fold)
            fresh = build_model(config, model.backbone, 0, trainer.device)
            fresh.reduction = model.reduction
            again = Trainer(fresh, other, config, trainer.device, loss=trainer.loss, progress=False)
            for record in again.epochs():
                bar.update()
                if record.epoch >= epochs:
                    break
            said = _ask(again.judged, other, "val", trainer)
            shares = _ask(model, other, "val", trainer).responsibilities
            parts.append((replace(said, responsibilities=shares), _true(other, "val")))
    if not parts:
        return None
    columns = zip(*((said.score, said.spread, said.responsibilities, true) for said, true in parts), strict=True)
    score, spread, shares, true = (np.concatenate(column) for column in columns)
    return Said(score, spread, shares), true


def found_from(answers: Answers | None, calibration: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds of intervals: around scores that its calibration has mapped, or why there are none."""
    if answers is None:
        return {"note": "too few contents are left to find intervals from"}
    said, true = answers
    mapping = LogisticFit.from_dict(calibration) if calibration else IDENTITY
    mapped = mapping(said.score).clip(0, 1)
    intervals, note = fit_intervals(replace(said, score=mapped), true)
    return {"note": note} if intervals is None else {**intervals.to_dict(), "note": ""}


def _folds(store: PixelStore) -> Iterator[PixelStore]:
    """The store split anew: each training or validation picture is once in validation, whole contents at a time."""
    split = store.manifest["split"].to_numpy()
    known = np.flatnonzero(split != "test")
    names, contents = np.unique(store.manifest["content"].to_numpy()[known], return_inverse=True)
    folds = min(FOLDS, len(names))
    if folds < LEAST_CONTENTS:
        return
    parts = list(GroupKFold(folds, shuffle=True, random_state=0).split(known, groups=contents))
    if min(len(held) for _, held in parts) < LEAST_PICTURES:
        return
    for learned, held in parts:
        drawn = np.full(len(split), "test", dtype=object)
        drawn[known[learned]], drawn[known[held]] = "train", "val"
        yield replace(store, manifest=store.manifest.assign(split=drawn))


@torch.inference_mode()
def _ask(model: QualityModel, feed: Feed, split: str, trainer: Trainer) -> Said:
    model.eval()
    parts = []
    for inputs in feed.inputs(split):
        with autocast(trainer.device, trainer.precision):
            said = feed.predict(model, inputs)
        shares = said.responsibilities
        empty = said.score.new_zeros(len(said.score), 0)
        over_heads = said.by_head.float().std(dim=0, correction=0)
        parts.append((said.score.float(), over_heads, empty if shares is None else shares))
    return Said(*(_pooled(feed, split, column) for column in zip(*parts, strict=True)))


def _pooled(feed: Feed, split: str, parts: tuple[Tensor, ...]) -> NDArray[np.float64]:
    return np.asarray(feed.pool(split, torch.cat(parts)).double().cpu().numpy())


def _true(feed: Feed, split: str) -> NDArray[np.float64]:
    return np.asarray(feed.scores(split).double().cpu().numpy())
