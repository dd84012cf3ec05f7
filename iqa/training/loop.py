"""The training loop: one record per epoch, and a state from which it continues to the same numbers.

It knows neither MLflow nor Optuna: a caller passes records on, and ends a training by not asking for the next.
Every epoch draws its randomness (order, mirroring, dropout) from the seed and its own number, so that an epoch
done again after an interruption is the same epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from iqa.config import ExperimentConfig
from iqa.device import autocast, choose_precision, memory_advice
from iqa.distributed.group import require_for_all, same
from iqa.distributed.sharing import add_gradients, align
from iqa.errors import IqaError
from iqa.model.quality import Prediction, QualityModel
from iqa.progress import one_step, progress_bar
from iqa.records import EpochRecord
from iqa.training.average import AveragedModel
from iqa.training.feeds import Batch, Feed
from iqa.training.losses import Loss, quality_loss, training_loss
from iqa.training.optimizer import Schedule, build_optimizer, parameter_groups
from iqa.training.tally import Tally, correlations

#: Least seconds between two looks at the running loss: each look makes the device wait.
LOOK_EVERY = 0.5


class Trainer:
    """Trains `model` on `feed`; iterate `epochs()` for records.

    Args:
        model: on `device` already.
        feed: batches of training and validation pictures.
        config: its model.mixture and training sections and data.batch_size are read.
        loss: what a step lessens.
        progress: True, bars; None, bars on a terminal and lines elsewhere; False, nothing.

    Attributes:
        shows: what `progress` was.
        validated: predicted and true scores [N] of the validation pictures after the last epoch.
    """

    def __init__(
        self,
        model: QualityModel,
        feed: Feed,
        config: ExperimentConfig,
        device: torch.device,
        *,
        loss: Loss = training_loss,
        progress: bool | None = None,
    ) -> None:
        self.model, self.feed, self.device, self.loss = model, feed, device, loss
        self.settings, self.mixture_settings = config.training, config.model.mixture
        batch_size = min(config.data.batch, feed.count("train"))
        require_for_all(batch_size, "a step's pictures", "raise data.batch_size, or start fewer processes")
        self._steps = feed.count("train") // batch_size
        self.precision = choose_precision(self.settings.precision, device)
        self.history: list[EpochRecord] = []
        self.shows = progress
        groups = parameter_groups(
            model,
            self.settings.learning_rate,
            self.settings.weight_decay,
            backbone_lr_multiplier=self.settings.backbone_lr_multiplier,
            mixture_lr_multiplier=self.mixture_settings.lr_multiplier,
        )
        self.optimizer = build_optimizer(groups, self.settings, device)
        mixture = [group["params"] for group in groups if group["name"] == "mixture"]
        others = [p for group in groups if group["name"] != "mixture" for p in group["params"]]
        self._clipped = [others, *mixture]
        backbone = {id(each) for each in model.backbone.parameters()}
        self._behind = [each for each in model.parameters() if id(each) not in backbone]
        self.schedule = Schedule(self.optimizer, self.settings, self._steps)
        decay = self.settings.ema_decay
        self._average = AveragedModel(model, decay) if decay else None
        self.validated: tuple[Tensor, Tensor] | None = None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or no better one has come for long enough (`training.early_stopping`)."""
        patience, best = self.settings.early_stopping, self.best
        waited = self.epoch - best.epoch if best else 0
        return self.epoch >= self.settings.epochs or 0 < patience <= waited

    @property
    def judged(self) -> QualityModel:
        """The model that validation judges and that is kept: the running mean of the weights, if there is one."""
        if self._average is None:
            return self.model
        self._average.follow()
        return self._average.model

    @property
    def best(self) -> EpochRecord | None:
        """The epoch that best_model.pth holds, or None while no epoch has a validation SRCC."""
        return best_record(self.history)

    def epochs(self) -> Iterator[EpochRecord]:
        """Train what is left, one record per epoch.

        Raises:
            IqaError: the loss is not finite, or memory ran out.
        """
        while not self.done:
            with memory_advice(self.device):
                record = self._train_epoch(self.epoch + 1)
            self.history.append(record)
            yield record

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [record.to_dict() for record in self.history],
            **({"average": self._average.state_dict()} if self._average else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = [EpochRecord.from_dict(record) for record in state["history"]]
        if self._average is not None:
            self._average.load_state_dict(state["average"])

    def _train_epoch(self, epoch: int) -> EpochRecord:
        started = time.perf_counter()
        torch.manual_seed(epoch_seed(self.settings.seed, epoch))
        self._start_mixture(epoch)
        align(self.model.learning_state())
        self.model.train()
        learning_rate = self.schedule.learning_rate
        tally = Tally()
        with self._bar(epoch) as bar:
            for batch in self.feed.training(epoch_seed(self.settings.seed, epoch)):
                loss, prediction = self._step(batch)
                tally.add(loss, prediction, batch[1])
                self._show(bar, loss)
                bar.update()
            train_loss, train_scores = same(tally.close())
            if not math.isfinite(train_loss):
                raise IqaError(
                    f"the loss of epoch {epoch} is not finite",
                    got=train_loss,
                    fix="lower training.learning_rate, or set training.precision to float32; "
                    f"epochs up to {epoch - 1} are kept",
                )
            trained = time.perf_counter() - started
            health = self._mixture_health(tally)
            val_loss, val_scores = self._validate(bar)
        self.schedule.after_epoch(val_scores["srcc"])
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            **{f"train_{name}": value for name, value in train_scores.items()},
            val_loss=val_loss,
            **{f"val_{name}": value for name, value in val_scores.items()},
            learning_rate=learning_rate,
            images_per_second=tally.count / trained,
            seconds=time.perf_counter() - started,
            **health,
        )

    def _step(self, batch: Batch) -> tuple[Tensor, Prediction]:
        inputs, scores = batch
        with autocast(self.device, self.precision):
            prediction = self.feed.predict(self.model, inputs)
        loss = self.loss(prediction, scores, self.settings.loss)
        self.optimizer.zero_grad()
        loss.backward()
        if not self.model.freeze_backbone:
            add_gradients(self.model.backbone.parameters(), self._behind)
        if self.settings.clip_gradient:
            # Each on its own: a mixture far from its points must not hold back the rest.
            for parameters in self._clipped:
                clip_grad_norm_(parameters, self.settings.clip_gradient)
        self.optimizer.step()
        if self._average is not None:
            self._average.update()
        self.schedule.after_step()
        return loss, prediction

    def _start_mixture(self, epoch: int) -> None:
        """Before the first epoch after the warm-up, let EM find the mixture in the training pictures."""
        mixture, settings = self.model.mixture, self.mixture_settings
        if mixture is not None and epoch > settings.warmup_epochs and not bool(mixture.fitted):
            sorts = self.feed.sorts("train", settings.dim + 1)
            embeddings = self._training_embeddings(len(sorts))
            with one_step(f"EM over {len(embeddings):,} pictures", shown=self.shows):
                self.model.start_mixture(embeddings, sorts, settings, seed=self.settings.seed)

    @torch.no_grad()
    def _training_embeddings(self, count: int) -> Tensor:
        """Embeddings of all squares of training pictures, float32 [count, feature_dim], as evaluation sees them."""
        self.model.eval()
        parts = self._embedded()
        first = next(parts)
        rows, done = (
            first.new_empty(count, first.shape[1]),
            0,
        )  # in place: all parts and all rows would be twice as much
        for part in chain([first], parts):
            rows[done : done + len(part)] = part
            done += len(part)
        return rows

    def _embedded(self) -> Iterator[Tensor]:
        batches = self.feed.batches("train")
        with progress_bar(total=batches, desc="before EM", unit="batches", leave=False, shown=self.shows) as bar:
            for inputs in self.feed.inputs("train"):
                with autocast(self.device, self.precision):
                    yield self.feed.predict(self.model, inputs).embedding.float()
                bar.update()

    def _mixture_health(self, tally: Tally) -> dict[str, float]:
        """How the mixture fared over the epoch; dead components are started anew where pictures are unlikely."""
        mixture = self.model.mixture
        if mixture is None or not bool(mixture.fitted) or (means := tally.clusters()) is None:
            return {}
        health = mixture.health(*means)
        if health.dead_components:
            mixture.reseed(tally.points)
        return health.to_dict()

    @torch.inference_mode()
    def _validate(self, bar: tqdm[Any]) -> tuple[float, dict[str, float | None]]:
        model = self.judged.eval()
        predicted = []
        for inputs in self.feed.inputs("val"):
            with autocast(self.device, self.precision):
                predicted.append(self.feed.predict(model, inputs).score.float())
            bar.update()
        self.validated = self.feed.pool("val", torch.cat(predicted)), self.feed.scores("val")
        loss = quality_loss(*self.validated, self.settings.loss)
        # What decides over the rest of a training is decided by one process.
        return same((float(loss), correlations(*self.validated)))

    def _bar(self, epoch: int) -> tqdm[Any]:
        """Counts batches of training and validation."""
        self._looked = 0.0
        return progress_bar(
            total=self._steps + self.feed.batches("val"),
            desc=f"epoch {epoch}/{self.settings.epochs}",
            unit="batches",
            leave=False,
            shown=self.shows,
        )

    def _show(self, bar: tqdm[Any], loss: Tensor) -> None:
        """Put the running loss on the bar, seldom."""
        if not bar.disable and time.perf_counter() - self._looked > LOOK_EVERY:
            bar.set_postfix(loss=f"{float(loss.detach()):.4f}", refresh=False)
            self._looked = time.perf_counter()


def best_record(history: list[EpochRecord]) -> EpochRecord | None:
    """The first record with the highest validation SRCC; once the mixture has started, those before do not count."""
    whole = [record for record in history if record.effective_clusters is not None] or history
    judged = [(record.val_srcc, -record.epoch, record) for record in whole if record.val_srcc is not None]
    return max(judged)[2] if judged else None


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of its own for every epoch of every training."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
