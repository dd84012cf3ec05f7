"""Do two processes with a thread each extract features faster than one with two? And train to the same curve?

    python benchmarks/processes.py [--pictures 1500] [--rounds 3]        # 8 minutes on two cores

Features: `iqa train` of a frozen backbone at 224 px into an empty cache, less the same again, which finds them there;
one process and two. Curve: a fine-tuned backbone with batch normalisation, epoch by epoch.
"""

from __future__ import annotations

from helpers.command import RESULTS, parser_of

# isort: split

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.timing import machine, machine_line
from scale import CONFIG, make, run

from iqa.commands.cli import run_command
from iqa.files import write_json

BACKBONE, EPOCHS = "tf_efficientnet_lite0", 5


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--pictures", type=int, default=1500, help="of the set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few pictures, one turn: shows that all runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "processes.json", help="JSON file")
    options = parser.parse_args(arguments)
    pictures, rounds = (120, 1) if options.quick else (options.pictures, options.rounds)
    print(machine_line(torch.device("cpu")), flush=True)
    with tempfile.TemporaryDirectory(prefix="processes-") as place:
        folder = Path(place)
        make(folder, pictures)
        seconds = {number: [extracting(folder, number, turn) for turn in range(rounds)] for number in (1, 2)}
        curves = {number: curve(folder, number) for number in (1, 2)}
    ratios = np.array(seconds[1]) / np.array(seconds[2])
    print(f"features: one process {np.median(seconds[1]):.1f} s, two {np.median(seconds[2]):.1f} s, "
          f"{np.median(ratios):.2f} times as fast [{ratios.min():.2f}, {ratios.max():.2f}]")  # fmt: skip
    print(f"{'epoch':>5}{'loss of one':>14}{'two - one':>12}{'val SRCC':>10}{'two - one':>12}")
    for one, two in zip(curves[1], curves[2], strict=True):
        differences = [two[name] - one[name] for name in ("train_loss", "val_srcc")]
        print(
            f"{one['epoch']:>5}{one['train_loss']:>14.6f}{differences[0]:>12.1e}{one['val_srcc']:>10.4f}{differences[1]:>12.1e}"
        )
    write_json(options.out, {"machine": machine(torch.device("cpu")), "seconds": seconds, "curves": curves})


def trained(
    folder: Path, name: str, processes: int, cache: str, model: dict[str, Any], training: dict[str, Any]
) -> float:
    """Seconds that `iqa train` takes."""
    data = CONFIG["data"] | {"root": str(folder), "cache_dir": str(folder / cache), "image_size": 224}
    config = CONFIG | {"data": data, "model": CONFIG["model"] | model, "training": CONFIG["training"] | training}
    (folder / "config.json").write_text(json.dumps(config | {"experiment_name": name}))
    said = run(folder, "-m", "iqa", "train", "--config", "config.json", "--processes", str(processes))
    return float(said["seconds"])


def extracting(folder: Path, processes: int, turn: int) -> float:
    frozen: tuple[dict[str, Any], dict[str, Any]] = {"backbone": BACKBONE}, {"epochs": 1, "intervals": False}
    cache = f"cache-{processes}-{turn}"
    first, again = (trained(folder, f"{cache}-{time}", processes, cache, *frozen) for time in ("first", "again"))
    return first - again


def curve(folder: Path, processes: int) -> list[dict[str, float]]:
    model = {"backbone": "test_efficientnet", "freeze_backbone": False}
    training = {"epochs": EPOCHS, "intervals": False, "precision": "float32", "learning_rate": 3e-4}
    trained(folder, f"curve{processes}", processes, "cache", model, training)
    told: list[dict[str, float]] = json.loads(
        (folder / "experiments" / f"curve{processes}" / "training_history.json").read_text()
    )["epochs"]
    return told


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
