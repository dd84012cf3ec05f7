"""The quick test learns: pictures of photographs that it never saw are ranked far better than before training."""

from __future__ import annotations

from pathlib import Path

import torch

from iqa import metrics
from iqa.config.reading import read_config
from iqa.device import autocast
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint
from iqa.training.session import Session


def srcc_on_test(session: Session) -> float:
    """Of the session's model, as it is now, on its test pictures."""
    trainer, store = session.trainer, session.store
    session.model.eval()
    with torch.inference_mode(), autocast(session.device, trainer.precision):
        parts = [trainer.feed.predict(session.model, x).score.float().cpu() for x in trainer.feed.inputs("test")]
    return metrics.srcc(torch.cat(parts).numpy(), store.scores[store.indices("test")].numpy())


def test_training_ranks_unseen_photographs_far_better_than_chance(tmp_path: Path, shared_cache: Path) -> None:
    config = read_config("quick_test", {"data.cache_dir": str(shared_cache), "tracking.enabled": False})
    session = Session(config, ExperimentFolder(tmp_path / "quick_test"))
    untrained = srcc_on_test(session)
    with session.claimed():
        list(session.run())
    session.model.load_state_dict(load_checkpoint(session.folder.best)["model"])
    trained = srcc_on_test(session)
    assert trained > 0.35
    assert trained > untrained + 0.2
