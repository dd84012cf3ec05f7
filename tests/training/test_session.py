"""A training can be stopped anywhere and goes on as if nothing had happened."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from iqa.config import ExperimentConfig
from iqa.errors import Interrupted, IqaError, UserError
from iqa.records import TIMING
from iqa.training import session as session_module
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint
from iqa.training.loop import Trainer
from iqa.training.session import Session

SCHEDULES = ["reduce_on_plateau", "cosine", "one_cycle", "none"]


@pytest.fixture(autouse=True)
def _save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SAVE_EVERY", -1.0)


def begin(config: ExperimentConfig, path: Path, *, resume: bool = False) -> Session:
    session = Session(config, ExperimentFolder(path), resume=resume, progress=False)
    with session.claimed():
        pass
    return session


def story(path: Path) -> list[dict[str, float]]:
    """The history without what a clock said."""
    epochs = json.loads((path / "training_history.json").read_text())["epochs"]
    return [{key: value for key, value in epoch.items() if key not in TIMING} for epoch in epochs]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)["model"]


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "finetuned"])
@pytest.mark.parametrize("scheduler", SCHEDULES)
def test_a_stopped_training_resumes_to_the_same_numbers(tiny, tmp_path: Path, scheduler: str, freeze: bool) -> None:
    config = tiny(**{"training.scheduler": scheduler, "model.freeze_backbone": freeze})
    list(begin(config, tmp_path / "whole").run())

    for record in begin(config, tmp_path / "parts").run():
        if record.epoch == 2:
            break
    list(begin(config, tmp_path / "parts", resume=True).run())

    assert story(tmp_path / "parts") == story(tmp_path / "whole")
    for name in ("best_model.pth", "last_model.pth"):
        ours, theirs = weights(tmp_path / "parts" / name), weights(tmp_path / "whole" / name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_training_stopped_in_the_middle_of_an_epoch_resumes_too(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    list(begin(config, tmp_path / "whole").run())

    steps = itertools.count()
    step = Trainer._step

    def interrupted(self: Trainer, batch: object) -> object:
        if next(steps) == 7:  # three steps an epoch: the second step of the third
            raise KeyboardInterrupt
        return step(self, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        session = begin(config, tmp_path / "parts")
        with pytest.raises(Interrupted, match=r"2 of 4 epochs.*\n.*--resume"), session.interruptible():
            list(session.run())
    list(begin(config, tmp_path / "parts", resume=True).run())
    assert story(tmp_path / "parts") == story(tmp_path / "whole")


def test_resuming_a_finished_training_changes_nothing(tiny, tmp_path: Path) -> None:
    config = tiny()
    list(begin(config, tmp_path / "a").run())
    before = {path: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert list(begin(config, tmp_path / "a", resume=True).run()) == []
    assert {path: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_a_plateau_training_can_be_made_longer_but_not_otherwise_changed(tiny, tmp_path: Path) -> None:
    plateau = {"training.scheduler": "reduce_on_plateau"}
    list(begin(tiny(**plateau), tmp_path / "a").run())
    longer = begin(tiny(**plateau, **{"training.epochs": 5}), tmp_path / "a", resume=True)
    assert [record.epoch for record in longer.run()] == [5]
    with pytest.raises(UserError, match=r"model\.dropout: 0\.3 before, 0\.1 now"):
        begin(tiny(**plateau, **{"model.dropout": 0.1}), tmp_path / "a", resume=True)


def test_a_second_training_keeps_the_first_aside(tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tiny()
    list(begin(config, tmp_path / "a").run())
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    list(begin(config, tmp_path / "a").run())
    assert "kept as" in caplog.text
    assert {path.name: path.read_bytes() for path in (tmp_path / "a.1").iterdir()} == first


def test_a_full_disk_ends_with_a_message_and_the_last_good_checkpoint(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    session = begin(config, tmp_path / "a")
    records = session.run()
    next(records)
    good = weights(tmp_path / "a" / "last_model.pth")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(IqaError, match="No space left"):
            next(records)
    left = weights(tmp_path / "a" / "last_model.pth")
    assert all(torch.equal(good[key], left[key]) for key in good)
    assert not list((tmp_path / "a").glob("*.tmp"))


def test_checkpoints_that_cannot_fit_are_refused_and_the_earlier_experiment_keeps_its_name(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(begin(tiny(), tmp_path / "a").run())
    held = sum((tmp_path / "a" / name).stat().st_size for name in ("best_model.pth", "last_model.pth"))
    session = Session(tiny(), ExperimentFolder(tmp_path / "a"), progress=False)
    for free in (held // 2, 4 * held):
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda place, usage=usage: usage)
        if free < held:
            with pytest.raises(UserError, match="checkpoints"), session.claimed():
                pass
            assert not (tmp_path / "a.1").exists()
    with session.claimed():
        assert (tmp_path / "a.1" / "last_model.pth").is_file()


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_what_was(tiny, tmp_path: Path) -> None:
    config = tiny(**{"training.learning_rate": 10, "training.optimizer": "sgd", "training.clip_gradient": 0})
    session = begin(config, tmp_path / "a")
    with torch.no_grad():
        next(session.model.head.parameters()).fill_(float("inf"))
    with pytest.raises(IqaError, match=r"not finite[\s\S]*learning_rate"):
        list(session.run())


def test_memory_that_runs_out_names_the_keys_to_lower(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Trainer, "_step", exhausted)
    with pytest.raises(IqaError, match=r"data\.batch_size"):
        list(begin(tiny(), tmp_path / "a").run())


def test_without_a_mixture_nothing_of_it_is_left(tiny, tmp_path: Path) -> None:
    records = list(begin(tiny(**{"model.n_clusters": 0}), tmp_path / "a").run())
    assert records[-1].effective_clusters is None
    assert not [key for key in weights(tmp_path / "a" / "best_model.pth") if "mixture" in key or "projection" in key]


def test_the_mixture_starts_after_its_warm_up(tiny, tmp_path: Path) -> None:
    records = list(begin(tiny(**{"model.mixture.warmup_epochs": 2}), tmp_path / "a").run())
    assert [record.effective_clusters is not None for record in records] == [False, False, True, True]
    assert all(1 <= record.effective_clusters <= 3 for record in records[2:] if record.effective_clusters)


def test_the_best_model_has_its_mixture(tiny, tmp_path: Path) -> None:
    session = begin(tiny(**{"model.mixture.warmup_epochs": 2}), tmp_path / "a")
    list(session.run())
    assert session.trainer.best is not None
    assert session.trainer.best.epoch > 2
    assert load_checkpoint(session.folder.best)["model"]["mixture.fitted"]


def test_the_same_seed_gives_the_same_training_and_another_seed_another(tiny, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(begin(tiny(**{"training.seed": seed}), tmp_path / name).run())
    assert story(tmp_path / "a") == story(tmp_path / "b")
    assert story(tmp_path / "a") != story(tmp_path / "c")


def test_a_training_stops_when_no_better_epoch_has_come_for_long_enough(tiny, tmp_path: Path) -> None:
    stopping = {"training.epochs": 40, "training.early_stopping": 3, "training.scheduler": "none"}
    config = tiny(**{**stopping, "model.n_clusters": 0})
    records = list(begin(config, tmp_path / "e").run())
    best = max(records, key=lambda record: (record.val_srcc or -1, -record.epoch))
    assert len(records) == best.epoch + 3 < 40
    saved = load_checkpoint(tmp_path / "e" / "last_model.pth")
    assert len(saved["history"]) == len(records)
    assert not list(begin(config, tmp_path / "e", resume=True).run())


def test_a_batch_size_that_is_found_is_written_down_and_kept_when_resumed(tiny, tmp_path: Path) -> None:
    config = tiny(**{"data.batch_size": "auto"})
    session = begin(config, tmp_path / "e")
    found = session.config.data.batch_size
    # 96 training pictures: at least 16 steps an epoch, but never fewer than 8 pictures.
    assert found == 8
    assert json.loads((tmp_path / "e" / "config.json").read_text())["data"]["batch_size"] == found
    for record in session.run():
        if record.epoch == 2:
            break
    resumed = begin(config, tmp_path / "e", resume=True)
    assert resumed.config.data.batch_size == found
    assert len(list(resumed.run())) == 2
    whole = tiny(**{"data.batch_size": found})
    list(begin(whole, tmp_path / "whole").run())
    assert story(tmp_path / "e") == story(tmp_path / "whole")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_size_for_a_gpu_leaves_the_model_as_it_was(tiny, tmp_path: Path) -> None:
    sizes = {}
    for batch in ("auto", 8):
        config = tiny(**{"data.batch_size": batch, "training.device": "cuda", "model.freeze_backbone": False})
        sizes[batch] = begin(config, tmp_path / str(batch))
    assert sizes["auto"].config.data.batch_size == 8
    ours, theirs = (sizes[batch].model.state_dict() for batch in ("auto", 8))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_two_trainings_of_one_name_do_not_mix(tiny, tmp_path: Path) -> None:
    first, second = (Session(tiny(), ExperimentFolder(tmp_path / "a"), progress=False) for _ in range(2))
    with first.claimed():
        records = first.run()
        next(records)
        with pytest.raises(UserError, match=f"process {os.getpid()}"), second.claimed():
            pass
        assert len(list(records)) == 3
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["a"]
    with second.claimed():  # the first is through, and is kept
        list(second.run())
    assert (tmp_path / "a.1" / "best_model.pth").is_file()
