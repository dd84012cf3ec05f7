"""Does a kill at any instant cost anything but the time since the last save?

    python benchmarks/chaos.py [--kills 30] [--only fine-tuned frozen ...] [--seed 0]  # about 15 minutes

SIGKILL goes to small trainings, studies, comparisons, repeats and scorings at instants drawn over their whole length;
each is begun again as its user would, up to three times, and then compared bit for bit with one that nobody killed:
histories, checkpoints, results and tables, and MLflow's runs with their curves, settings and files. Fine-tuned and
frozen trainings get --kills each, the other kinds a third of it.
"""

from __future__ import annotations

from helpers.command import RESULTS, ROOT, parser_of

# isort: split

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # a process with threads cannot be forked
os.environ["HF_HUB_OFFLINE"] = "1"

from helpers.chaos import (  # noqa: E402
    HANGS,
    Kind,
    Tally,
    differences,
    faults_of,
    lost_trials,
    outcome,
    preload,
    runs_of,
    start,
    story,
    unfinished_models,
    wait,
)

from iqa.commands.cli import run_command  # noqa: E402
from iqa.errors import IqaError  # noqa: E402
from iqa.files import write_json  # noqa: E402

#: Kills of one story at most.
MOST = 3
TINY: dict[str, Any] = {
    "experiment_name": "tiny",
    "data": {
        "dataset": "photos", "train_samples": 128, "val_samples": 64, "test_samples": 48, "batch_size": 16,
        "num_workers": 0, "picture_size": 48, "image_size": 48,
    },
    "model": {
        "backbone": "test_resnet", "pretrained": False, "feature_dim": 32, "hidden_dim": 32, "n_clusters": 3,
        "mixture": {"dim": 4},
    },
    "training": {"epochs": 12, "device": "cpu", "scheduler": "cosine"},
    "tuning": {"trials": 4, "confirmations": 3, "range_values": 3},
}  # fmt: skip
SHORT = ("--training.epochs", "4", "--data.train_samples", "96", "--data.val_samples", "48")
TRAIN = ("train", "--config", "tiny.json")
EVALUATE = ("evaluate", "--experiment", "experiments/tiny", "--skip_tsne")

KINDS = [
    Kind("fine-tuned", TRAIN, ["--resume"], EVALUATE),
    Kind("frozen", (*TRAIN, "--model.freeze_backbone", "true", "--training.epochs", "30"), ["--resume"], EVALUATE),
    Kind("repeats", (*TRAIN, "--repeats", "2", *SHORT), ["--resume"]),
    Kind("compare", ("compare", "--configs", "tiny.json", "other.json", *SHORT)),
    Kind("tune", ("tune", "--config", "tiny.json", *SHORT, "--training.epochs", "2")),
    Kind("score", ("score", "--model", "model", "--input", "pictures", "--output", "out", "--batch_size", "8")),
]


def furnish(folder: Path, made: Path) -> Path:
    """A folder with what a story begins from."""
    folder.mkdir(parents=True)
    write_json(folder / "tiny.json", TINY)
    write_json(folder / "other.json", TINY | {"experiment_name": "other", "model": TINY["model"] | {"n_clusters": 0}})
    if (made / "mlflow.db").exists():
        shutil.copy(made / "mlflow.db", folder / "mlflow.db")
    for name in ("model", "pictures"):
        if (made / name).exists():
            shutil.copytree(made / name, folder / name, symlinks=True)
    return folder


def make(made: Path, scratch: Path) -> None:
    """What takes long and is the same for all: MLflow's empty database, a model, pictures, and all that is imported."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_model import picture

    folder = furnish(scratch / "made", made)
    for command in (TRAIN, EVALUATE):
        if code := wait(start([*command, *(SHORT if command is TRAIN else ())], folder, scratch / "modules"), HANGS):
            raise IqaError("what is to be killed does not even run", got=code, fix=f"see {folder / 'said.txt'}")
        preload(scratch / "modules")
    made.mkdir()
    shutil.copytree(folder / "experiments" / "tiny", made / "model")
    (made / "pictures").mkdir()
    for number in range(400):
        name = made / "pictures" / f"{number:03}.png"
        if number < 40:
            picture(number, 500, 400).save(name)
        else:
            name.symlink_to(f"{number % 40:03}.png")


def measure(kind: Kind, kills: int, made: Path, scratch: Path, draw: random.Random) -> Tally:
    """Stories of one kind until so many kills are done."""
    folder = furnish(scratch / kind.name / "unharmed", made)
    began = time.monotonic()
    code = wait(start(kind.command, folder, scratch / "modules"), HANGS)
    length = time.monotonic() - began
    if code != 0 or (kind.then and wait(start(kind.then, folder), HANGS)):
        raise IqaError(f"{kind.name} does not even run without kills", got=code, fix=f"see {folder / 'said.txt'}")
    preload(scratch / "modules")
    if kind.name != "fine-tuned":  # now without what it imports first
        folder = furnish(scratch / kind.name / "again", made)
        began = time.monotonic()
        wait(start(kind.command, folder), HANGS)
        length = time.monotonic() - began
        if kind.then:
            wait(start(kind.then, folder), HANGS)
    expected, runs = outcome(folder), runs_of(folder)
    tally = Tally(kind.name)
    print(f"{kind.name}: {length:.1f} s unharmed, {len(runs)} runs", flush=True)
    while tally.kills < kills:
        tally.stories += 1
        folder = furnish(scratch / kind.name / str(tally.stories), made)
        most = min(MOST, kills - tally.kills)
        wrong = story(kind, folder, tally, most, length, draw)
        faults = (
            [wrong]
            if wrong
            else [
                *differences(expected, outcome(folder)),
                *faults_of(runs_of(folder), runs),
                *lost_trials(runs_of(folder), runs),
                *unfinished_models(folder),
            ]
        )
        tally.equal += not faults
        tally.faults.update(set(faults))
        if not faults:
            shutil.rmtree(folder)
        else:
            print(f"  {folder}: {'; '.join(faults)[:400]}", flush=True)
    return tally


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--kills", type=int, default=30, help="of fine-tuned and of frozen trainings (default: 30)")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in KINDS], help="kinds (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="that the instants are drawn from (default: 0)")
    parser.add_argument("--keep", type=Path, help="an empty folder that keeps the stories that went wrong")
    parser.add_argument("--out", type=Path, default=RESULTS / "chaos.json", help="JSON file")
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    scratch = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    tallies = []
    try:
        make(scratch / "begin", scratch)
        for kind in KINDS:
            if options.only and kind.name not in options.only:
                continue
            kills = options.kills if kind.name in ("fine-tuned", "frozen") else max(1, options.kills // 3)
            began = time.monotonic()
            tallies.append(measure(kind, kills, scratch / "begin", scratch, draw))
            print(f"  {kills} kills in {time.monotonic() - began:.0f} s", flush=True)
            write_json(options.out, {"rows": [vars(tally) for tally in tallies]})
    finally:
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{'kind':<12} {'kills':>5} {'stories':>7} {'equal':>5}  where, and faults")
    for tally in tallies:
        print(f"{tally.kind:<12} {tally.kills:>5} {tally.stories:>7} {tally.equal:>5}  {json.dumps(tally.where)}")
        for fault, count in tally.faults.most_common():
            print(f"    {count} x {fault}")
    print(f"\nwritten: {options.out}")
    if any(tally.faults for tally in tallies):
        raise IqaError("kills cost something", fix="see the faults above; --keep FOLDER keeps what they left")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
