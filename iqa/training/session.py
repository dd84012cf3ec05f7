"""A training with its folder: put together from a config, saved as it goes, continued where it stopped."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from iqa.calibration import fit_rising
from iqa.config import ExperimentConfig
from iqa.conformal import LEAST
from iqa.data.manifest import to_csv
from iqa.data.prepared import prepare
from iqa.device import choose_device, choose_precision
from iqa.distributed.group import after_first, is_first, of_first
from iqa.errors import Interrupted, UserError
from iqa.files import require_room
from iqa.progress import one_step
from iqa.records import EpochRecord
from iqa.training.batch_size import fix_batch_size
from iqa.training.build import build_feed, build_model, input_size, start_backbone
from iqa.training.checkpoints import (
    ExperimentFolder,
    check_same_experiment,
    checkpoint_bytes,
    checkpoint_parts,
    load_checkpoint,
    load_model_state,
    require_epochs,
    save_checkpoint,
)
from iqa.training.frozen.crossfit import ask_held_out, ask_out_of_fold, found_from
from iqa.training.loop import Trainer
from iqa.training.losses import Loss, training_loss
from iqa.training.typical import find_typical

#: Epochs shorter than this many seconds share a save: a kill then costs at most that much work.
SAVE_EVERY = 2.0


class Session:
    """One training of `config` in `folder`; everything that can be wrong with the input shows here.

    Of several processes (`iqa.distributed`) each has one, and the first one's alone writes.

    Args:
        resume: continue from the folder's last checkpoint, if there is one.
        loss: what a step of training lessens.
        progress: True, bars; None, bars on a terminal and lines elsewhere; False, nothing.

    Attributes:
        resumed: whether it continues from a checkpoint.
        goes_on: whether what is in the folder is its own: it is resumed, or was killed before it had saved anything.

    Raises:
        UserError: settings, data, weights or checkpoint that cannot be used; the folder is as it was.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        folder: ExperimentFolder,
        *,
        resume: bool = False,
        loss: Loss = training_loss,
        progress: bool | None = None,
    ) -> None:
        self.folder = folder
        self.device = choose_device(config.training.device)
        before = of_first(lambda: load_checkpoint(folder.last) if resume and folder.last.is_file() else None)
        if before is not None:
            with checkpoint_parts(folder.last):
                config = settled(config, before["config"])
                check_same_experiment(config, before["config"], folder.last)
        self.store = after_first(lambda: prepare(config.data, progress=progress, once=config.model.looks_once))
        self.image_size = input_size(config, self.store)
        with one_step(f"loading {config.model.backbone}", shown=progress):  # from the hub, it may be
            backbone = after_first(lambda: start_backbone(config, self.image_size, load_weights=before is None))
        self.model = build_model(config, backbone, self.image_size, self.device)
        self.config = config = fix_batch_size(config, self.model, self.store, self.device)
        self.weights_source = self.model.backbone.weights_source
        if before is not None:
            with checkpoint_parts(folder.last):
                self.weights_source = str(before["weights"])
                load_model_state(self.model, before["model"], folder.last)
        precision = choose_precision(config.training.precision, self.device)
        held = self.store.holding_out(LEAST) if self._sets_aside else self.store
        feed = build_feed(self.model, held, config, self.device, precision, progress)
        self.trainer = Trainer(self.model, feed, config, self.device, loss=loss, progress=progress)
        self.resumed = before is not None
        self.goes_on = of_first(lambda: self.resumed or (resume and folder.was_begun_with(config)))
        if before is not None:
            self._continue(before)
        self._best_state: dict[str, Any] | None = None
        self._saved, self._saved_at = self.trainer.epoch, float("-inf")

    def _continue(self, before: dict[str, Any]) -> None:
        """Take up the state that a training was left in."""
        with checkpoint_parts(self.folder.last):
            if str(before["data"]) != self.store.digest:
                raise UserError(
                    f"{self.folder.last} was trained on other pictures, so it cannot be continued exactly",
                    fix="train anew under another experiment_name",
                )
            self.trainer.load_state_dict(before)

    @contextmanager
    def claimed(self) -> Iterator[Path]:
        """Around the training: the experiment's folder, ours; an earlier experiment is kept aside, never overwritten.

        What fails before its first epoch is saved leaves the folder as it was.

        Raises:
            UserError: no room for its checkpoints; the folder is as it was.
        """
        if not is_first():
            yield self.folder.path
            return
        best, last = checkpoint_bytes(self.model)
        require_room(
            self.folder.path,
            best + 2 * last,  # which stands twice while it is replaced
            "the checkpoints of this training",
            "free some, or give an --output on another disk",
        )
        with self.folder.alone(), nullcontext() if self.goes_on else self.folder.claimed():
            if not self.resumed:
                self.folder.write_config(self.config)
                manifest = to_csv(self.store.manifest, self.store.known_by)
                self.folder.write_data(manifest, self.store.report)
            yield self.folder.path

    def run(self) -> Iterator[EpochRecord]:
        """Train what is left; each record comes after its epoch is on disk, or will be within SAVE_EVERY seconds.

        Raises:
            IqaError: training failed; what was saved stays.
        """
        for record in self.trainer.epochs():
            if is_first():
                self._keep(record)
            yield record
        of_first(lambda: require_epochs(self.folder))
        if self.config.training.intervals:
            self._find_what_scores_come_with()

    def _keep(self, record: EpochRecord) -> None:
        """Take note of an epoch that is done, and save it unless the next one will be soon."""
        if record is self.trainer.best:
            self._best_state = self._snapshot()
        if self.trainer.done or time.monotonic() - self._saved_at > SAVE_EVERY:
            self.save()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around the consumption of `run`: turns Ctrl-C and SIGTERM into word of what is saved and how to go on.

        Raises:
            Interrupted: in place of KeyboardInterrupt.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not self._saved:
                raise Interrupted("stopped before the first epoch was saved: nothing came of it") from None
            raise Interrupted(
                f"stopped; {self._saved} of {self.config.training.epochs} epochs are done, "
                f"and {self.folder.path} holds what is needed to go on\n"
                "  continue: the same command with --resume (under mlflow run: -P resume=true)"
            ) from None

    @property
    def _sets_aside(self) -> bool:
        """Whether validation pictures are to be set aside for intervals."""
        return self.config.training.intervals and not self.config.model.freeze_backbone

    def _find_what_scores_come_with(self) -> None:
        """Add to the best model what intervals and typicality are made from, or why it has none."""
        kept = of_first(lambda: load_checkpoint(self.folder.best))
        if {"intervals", "typicality"} <= kept.keys():
            return
        trainer, model = self.trainer, copy.deepcopy(self.trainer.judged)
        load_model_state(model, kept["model"], self.folder.best)
        if self._sets_aside:
            answers = ask_held_out(trainer, model)
        else:
            answers = ask_out_of_fold(trainer, model, self.config, self.store, kept["epoch"])
        intervals = found_from(answers, kept["calibration"])
        typical = find_typical(model, self.store, self.config, self.device, trainer.precision, progress=trainer.shows)
        if is_first():
            save_checkpoint(self.folder.best, kept | {"intervals": intervals, "typicality": typical})

    def save(self) -> None:
        """Write the best model if it is new, then the state after the last epoch, then the history."""
        if self._best_state is not None:
            save_checkpoint(self.folder.best, self._best_state)
            self._best_state = None
        state = {**self._description(), **self.trainer.state_dict()}
        save_checkpoint(self.folder.last, state)
        best = self.trainer.best
        self.folder.write_history(state["history"], best.epoch if best else None)
        self._saved, self._saved_at = len(state["history"]), time.monotonic()

    def facts(self) -> dict[str, str]:
        """What a table of runs is sorted by, as text."""
        return {
            "backbone": self.config.model.backbone,
            "dataset": self.config.data.dataset,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device),
            "precision": str(self.trainer.precision).removeprefix("torch."),
            "image_size": str(self.image_size),
            "weights": self.weights_source,
            "score_name": self.store.score_name,
        }

    def summary(self) -> dict[str, float]:
        """Figures of the whole training: the best epoch's validation, speed, size."""
        history = self.trainer.history
        best = self.trainer.best
        chosen = {f"best_{k}": v for k, v in best.metrics().items() if k.startswith("val_")} if best else {}
        speeds = sorted(record.images_per_second for record in history)
        return {
            **chosen,
            "best_epoch": float(best.epoch if best else 0),
            "parameters_millions": self.model.parameter_count() / 1e6,
            "median_images_per_second": speeds[len(speeds) // 2],
            "training_seconds": sum(record.seconds for record in history),
        }

    def _snapshot(self) -> dict[str, Any]:
        """The model as it is now, out of the way of the training that goes on."""
        judged = self.trainer.judged.state_dict()
        state = {name: tensor.detach().cpu().clone() for name, tensor in judged.items()}
        return {
            **self._description(),
            "model": state,
            "epoch": self.trainer.epoch,
            "calibration": self._calibration(),
        }

    def _calibration(self) -> dict[str, Any]:
        """How this epoch's scores map onto the scale that people used, found on the validation pictures."""
        if self.trainer.validated is None:
            return {}
        predicted, true = (scores.cpu().numpy() for scores in self.trainer.validated)
        fit, note = fit_rising(predicted, true)
        about = {"parameters": list(fit.parameters), "linear": fit.linear, "note": note}
        return {**about, **self.store.scale.to_dict()}

    def _description(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "image_size": self.image_size,
            "views": self.store.views.to_dict(),
            "score_name": self.store.score_name,
            "weights": self.weights_source,
            "data": self.store.digest,
        }


def settled(config: ExperimentConfig, before: dict[str, Any]) -> ExperimentConfig:
    """What was found out when the training began stays: the batch size, and whether copies were looked for."""
    kept = {name: before["data"][name] for name in ("batch_size", "groups") if getattr(config.data, name) == "auto"}
    return config.model_copy(update={"data": config.data.model_copy(update=kept)})
