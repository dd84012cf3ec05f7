"""Sends to MLflow what it has missed: `iqa sync [FOLDER ...] [--uri ADDRESS]`.

A server that is down, full or wants a login costs a training nothing: what it does not take waits beside the experiment
and is sent when that is resumed or evaluated, or by this. Exit code 1 where something still waits.
"""

from __future__ import annotations

from pathlib import Path

from iqa.commands.cli import parser_for
from iqa.errors import IqaError, UserError, some
from iqa.progress import progress_bar, tell


def main(arguments: list[str]) -> None:
    parser = parser_for("sync", __doc__, "What a training that still runs has kept is left to it.")
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="to look in (default: experiments, scores, audits)"
    )
    parser.add_argument("--uri", default="", help="of the store (default: MLFLOW_TRACKING_URI, or where each run is)")
    options = parser.parse_args(arguments)
    if absent := [str(folder) for folder in options.folders if not folder.is_dir()]:
        raise UserError(f"{some(absent)} is no folder", expected="folders of experiments")
    # Imported late: --help must not wait for MLflow.
    from iqa.tracking.sending.delivery import PENDING
    from iqa.tracking.sending.sync import send_waiting
    from iqa.training.checkpoints import ExperimentFolder

    looked_in = options.folders or [Path("experiments"), Path("scores"), Path("audits")]
    waiting = sorted({file.parent for folder in looked_in for file in folder.rglob(PENDING)})
    tell(
        f"sync: {len(waiting)} experiments with what MLflow has missed; no disk, about 300 MB of memory",
        work="sync",
        what=f"{len(waiting)} experiments",
        disk=0,
        writes=[],
    )
    left: dict[str, int] = {}
    with progress_bar(total=len(waiting), desc="sending", unit="experiments", leave=False) as bar:
        for folder in waiting:
            with ExperimentFolder(folder).alone():
                sent, kept = send_waiting(folder, options.uri or None)
            print(f"{folder}: {sent:,} deliveries sent" + (f", {kept:,} still wait" if kept else ""), flush=True)
            if kept:
                left[str(folder)] = kept
            bar.update()
    if left:
        raise IqaError(
            f"{sum(left.values()):,} deliveries still wait",
            got=some(list(left)),
            fix="the warnings above say what keeps MLflow from taking them; then iqa sync again",
        )
