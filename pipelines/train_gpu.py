"""Trains one experiment: `python pipelines/train_gpu.py --config C [--resume] [--section.key value ...]`.

Writes experiments/<name>/ and one MLflow run. Any setting of the config can be overridden by its dotted name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.cli import add_flag, run_command
from iqa.config_file import load_config
from iqa.errors import UserError

if TYPE_CHECKING:
    from iqa.records import EpochRecord
    from iqa.training.session import Session


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Any setting can be given by its dotted name, such as --model.n_clusters 12.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", default="configs/quick_test.json", help="JSON file (default: %(default)s)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    add_flag(parser, "--resume", "continue where an interrupted training of this name stopped")
    parser.add_argument("--repeats", type=int, default=1, help="train and test on so many splits (default: 1)")
    options, overrides = parser.parse_known_args(arguments)
    config = load_config(options.config, overrides)
    if options.repeats < 1:
        raise UserError("--repeats counts splits", got=options.repeats, expected="1 or more")

    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.training.checkpoints import ExperimentFolder
    from iqa.training.session import Session

    if options.repeats > 1:
        from pipelines.repeats import repeat, show

        show(repeat(config, Path(options.output), options.repeats, resume=options.resume))
        return
    folder = ExperimentFolder(Path(options.output) / config.experiment_name)
    train(Session(config, folder, resume=options.resume))


def train(session: Session, *, parent: str | None = None) -> None:
    """Run a training to its end, telling the terminal and MLflow of every epoch.

    Args:
        parent: id of the MLflow run that this one is a child of.
    """
    from iqa.tracking import open_run, read_run_note

    config, folder = session.config, session.folder
    facts = session.facts()
    earlier = read_run_note(folder.path).get("run_id") if session.resumed else None
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    with open_run(
        config,
        role="train",
        name=config.experiment_name,
        parent=parent,
        run_id=earlier,
        directory=session.claim_folder(),
        tags=facts,
    ) as tracker:
        tracker.log_config(config)
        tracker.log_dataset(
            session.store.manifest,
            name=config.data.dataset,
            context="training",
            digest=session.store.digest,
            source=config.data.root or config.data.dataset,
        )
        if tracker.run_id != earlier:
            for record in session.trainer.history:
                tracker.log_epoch(record)
        with session.interruptible():
            for record in session.run():
                tracker.log_epoch(record)
                print(line(record, config.training.epochs), flush=True)
        tracker.log_metrics(session.summary())
        tracker.log_files(folder.path, None)
        tracker.log_served_model(folder.path)
    best = session.trainer.best
    if best is not None:
        print(
            f"\nbest epoch {best.epoch}: validation SRCC {best.val_srcc or 0:.4f}, PLCC {best.val_plcc or 0:.4f} "
            f"against {session.store.score_name}\n"
            f"experiment folder: {folder.path}\n"
            f"judge it: python pipelines/test_with_viz.py --experiment {folder.path}"
        )


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


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
