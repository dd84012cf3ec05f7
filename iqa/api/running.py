"""A training run to its end, its epochs told to terminal and MLflow; and an experiment finished from anywhere."""

from __future__ import annotations

from typing import Literal

from iqa.api.calls import SILENT, Terminal
from iqa.api.evaluate import judge_experiment
from iqa.api.results import TrainingResult
from iqa.config import ExperimentConfig
from iqa.distributed.group import of_first
from iqa.evaluation.description import untested
from iqa.evaluation.report import RESULTS
from iqa.files import read_json
from iqa.records import EpochRecord
from iqa.tracking import open_run, read_run_note
from iqa.training.checkpoints import BEST, ExperimentFolder, as_it_was, check_same_experiment
from iqa.training.losses import Loss, training_loss
from iqa.training.session import Session, settled


def run_training(
    session: Session,
    *,
    parent: str | None = None,
    role: Literal["train", "split"] = "train",
    terminal: Terminal = SILENT,
) -> TrainingResult:
    """Run a training to its end.

    Args:
        parent: id of the MLflow run that this one is a child of.
        role: whether it is an experiment, or one of several splits of one.
    """
    config, folder = session.config, session.folder
    facts = session.facts()
    earlier = read_run_note(folder.path).get("run_id") if session.goes_on else None
    terminal.say(", ".join(f"{name} {value}" for name, value in facts.items()))
    with (
        session.claimed() as place,
        open_run(
            config,
            role=role,
            name=config.experiment_name,
            parent=parent,
            run_id=earlier,
            directory=place,
            tags=facts,
        ) as tracker,
    ):
        tracker.log_config(config)
        tracker.log_dataset(
            session.store.manifest,
            name=config.data.dataset,
            context="training",
            digest=session.store.digest,
            source=config.data.root or config.data.dataset,
        )
        # MLflow may have missed some of them, or all.
        for record in session.trainer.history:
            tracker.log_epoch(record)
        with session.interruptible():
            for record in session.run():
                tracker.log_epoch(record)
                terminal.say(line(record, config.training.epochs))
        summary = session.summary()
        settings = tracker.file_link("config.json")
        tracker.describe(untested(config, summary, settings=settings, folder=str(folder.path)))
        tracker.log_files(folder.path, None)
        trainer = session.trainer
        tracker.log_served_model(
            folder.path,
            step=trainer.best.epoch if trainer.best else 0,
            metrics=summary,
            dataset=(config.data.dataset, session.store.digest),
        )
    return TrainingResult(config, folder.path, trainer.history, trainer.best, session.store.score_name, tracker.link)


def finish(
    config: ExperimentConfig,
    experiment: ExperimentFolder,
    *,
    parent: str | None,
    skip_tsne: bool,
    role: Literal["train", "split"] = "train",
    loss: Loss = training_loss,
    terminal: Terminal = SILENT,
) -> None:
    """Train `config` in the folder `experiment` and test it, as far as that is not done yet.

    Args:
        parent: id of the MLflow run that the training is a child of.
        skip_tsne: draw no t-SNE, which takes a test longest.
        role: as `run_training` takes it.

    Raises:
        UserError: the folder holds another experiment of this name.
    """
    if of_first(lambda: _was_finished(config, experiment)):
        terminal.say("trained and tested before")
        return
    session = Session(config, experiment, resume=True, loss=loss, progress=terminal.bars)
    run_training(session, parent=parent, role=role, terminal=terminal)

    def judge() -> None:
        judge_experiment(experiment, config, BEST, skip_tsne=skip_tsne, terminal=terminal)

    of_first(judge)


def _was_finished(config: ExperimentConfig, experiment: ExperimentFolder) -> bool:
    """Whether the folder holds this experiment, trained and tested.

    Raises:
        UserError: it holds another one.
    """
    results = experiment.visualizations / RESULTS
    told = results.is_file() and not experiment.testing.exists()
    if not told or not experiment.best.is_file() or experiment.best.stat().st_mtime > results.stat().st_mtime:
        return False
    before = as_it_was(read_json(experiment.config_file))
    check_same_experiment(settled(config, before), before, experiment.config_file)
    return True


def line(record: EpochRecord, epochs: int) -> str:
    """One epoch in one line."""

    def show(value: float | None) -> str:
        return "  -   " if value is None else f"{value:.4f}"

    mixture = "" if record.effective_clusters is None else f"  clusters {record.effective_clusters:.1f}"
    return (
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}"
        f"  loss {show(record.train_loss)} val {show(record.val_loss)}"
        f"  val SRCC {show(record.val_srcc)} PLCC {show(record.val_plcc)}"
        f"  lr {record.learning_rate:.2g}{mixture}"
        f"  {record.images_per_second:.0f} images/s  {record.seconds:.1f} s"
    )
