"""How long shall threads that wait spin? An epoch of a frozen backbone, alone and beside a busy process.

    python benchmarks/waiting.py [--pictures 9000] [--rounds 3]        # 12 minutes on two cores

Threads of OpenMP that wait for the others spin for a while before they sleep: quick where each has a core of its own,
slow where another process needs it. Compares what the commands set (50,000 turns, or 1,000 where other work runs as
they start), 50,000 in any case, and sleeping at once; each by `iqa train` in a process of its own, in turns. Tells
seconds of an epoch, the median of those after the third.
"""

from __future__ import annotations

from helpers.command import RESULTS, parser_of

# isort: split

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from helpers.timing import machine, machine_line
from scale import CONFIG, make, run

from iqa.commands.cli import run_command
from iqa.files import write_json

POLICIES = {
    "as set": {},
    "50,000 turns": {"GOMP_SPINCOUNT": "50000"},
    "asleep at once": {"GOMP_SPINCOUNT": "0"},
}
EPOCHS, FIRST = 8, 3
#: What a neighbour does: multiplies with as many threads as there are cores, as another training would.
BUSY = "import torch\na = torch.randn(700, 700)\nwhile True: (a @ a).relu_()"


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--pictures", type=int, default=9000, help="of the set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each policy (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few pictures, one turn: shows that all runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "waiting.json", help="JSON file")
    options = parser.parse_args(arguments)
    pictures, rounds = (300, 1) if options.quick else (options.pictures, options.rounds)
    print(machine_line(torch.device("cpu")), flush=True)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="waiting-") as place:
        folder = Path(place)
        make(folder, pictures)
        training = CONFIG["training"] | {"epochs": EPOCHS, "intervals": False}
        heads = {"model": CONFIG["model"] | {"heads": 4}, "training": training}
        data = CONFIG["data"] | {"root": str(folder), "cache_dir": str(folder / "cache")}
        (folder / "config.json").write_text(json.dumps(CONFIG | heads | {"data": data}))
        epoch(folder, {}, "first")  # prepares everything
        for number in range(rounds):
            for beside in ("alone", "beside a busy process"):
                with busy() if beside != "alone" else nullcontext():
                    for policy, variables in POLICIES.items():
                        taken = epoch(folder, variables, f"{number}-{beside[:5]}-{policy[:2]}".replace(" ", ""))
                        seconds.setdefault(f"{beside}, {policy}", []).append(taken)
    for what, taken in seconds.items():
        against = np.array(taken) / np.array(seconds["alone, as set"])
        ends = f"[{against.min():.2f}, {against.max():.2f}]"
        print(f"{what:<40} {np.median(taken):6.2f} s   {np.median(against):.2f} {ends}")
    write_json(options.out, {"machine": machine(torch.device("cpu")), "seconds": seconds})


def epoch(folder: Path, variables: dict[str, str], name: str) -> float:
    """Median seconds of an epoch of a training with these environment variables."""
    before = dict(os.environ)
    os.environ.pop("GOMP_SPINCOUNT", None)
    os.environ.update(variables)
    try:
        run(folder, "-m", "iqa", "train", "--config", "config.json", "--experiment_name", name)
    finally:
        os.environ.clear()
        os.environ.update(before)
    history = json.loads((folder / "experiments" / name / "training_history.json").read_text())
    return float(np.median([each["seconds"] for each in history["epochs"][FIRST:]]))


@contextmanager
def busy() -> Iterator[None]:
    """A neighbour at work."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
