"""A trial is the training that `train` would do, without its start; the test pictures take no part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iqa.data.prepared import PixelStore
from iqa.records import TIMING
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.session import Session
from iqa.tuning import workbench as workbench_module
from iqa.tuning.workbench import Workbench


def story(history: list[Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.to_dict().items() if key not in TIMING} for record in history]


@pytest.mark.parametrize(
    "settings",
    [
        {"model.freeze_backbone": True},
        {"model.freeze_backbone": True, "model.pca_dim": 16, "training.ema_decay": 0.9},
        {"model.freeze_backbone": True, "model.pca_dim": 16, "model.scales": [1.0, 0.7], "model.part_heads": 1},
        {"model.freeze_backbone": False},
    ],
    ids=["frozen", "reduced", "in parts", "finetuned"],
)
def test_every_trial_is_what_train_would_do(tiny, tmp_path: Path, settings: dict[str, Any]) -> None:
    config = tiny(**settings)
    session = Session(config, ExperimentFolder(tmp_path / "e"), progress=False)
    alone = list(session.trainer.epochs())
    bench = Workbench(config, progress=False)
    for _ in range(2):
        assert story(list(bench.trainer(config).epochs())) == story(alone)


def test_features_are_computed_once_for_all_trials_and_splits(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    compute = workbench_module.cached_features

    def counted(*arguments: Any, **options: Any) -> Any:
        computed.append(1)
        return compute(*arguments, **options)

    monkeypatch.setattr(workbench_module, "cached_features", counted)
    config = tiny(**{"model.freeze_backbone": True})
    bench = Workbench(config, progress=False)
    for split in (None, None, 1, 2):
        bench.trainer(config, split)
    assert len(computed) == 1


def test_no_trial_reads_a_test_picture(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    indices = PixelStore.indices

    def noted(self: PixelStore, split: str) -> Any:
        asked.append(split)
        return indices(self, split)

    monkeypatch.setattr(PixelStore, "indices", noted)
    config = tiny(**{"model.freeze_backbone": False})
    bench = Workbench(config, progress=False)
    list(bench.trainer(config).epochs())
    list(bench.trainer(config, 1).epochs())
    assert set(asked) == {"train", "val"}


def test_other_splits_leave_the_test_where_it_is_and_contents_whole(tiny) -> None:
    bench = Workbench(tiny(), progress=False)
    before, after = bench.store().manifest, bench.store(1).manifest
    assert (before["image"] == after["image"]).all()
    assert ((before["split"] == "test") == (after["split"] == "test")).all()
    assert (before["split"] != after["split"]).any()
    assert after.groupby("content")["split"].nunique().max() == 1
    assert bench.store(1) is bench.store(1)
    assert bench.store(1).digest != bench.store().digest
