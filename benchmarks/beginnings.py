"""Do stores of runs and of studies survive several that begin at once, and kills while they are made?

    python benchmarks/beginnings.py [--tries 40]        # 5 minutes on two cores

Each try is a fresh folder: three processes open the store at the same moment; or one does and is killed at a moment
drawn at random, and another follows. A failure is a process that ends in an error, or hangs for a minute.
"""

from __future__ import annotations

from helpers.command import RESULTS, ROOT, parser_of

# isort: split

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from helpers.timing import machine, machine_line

from iqa.commands.cli import run_command
from iqa.errors import IqaError
from iqa.files import write_json


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tries", type=int, default=40, help="of each kind (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two tries of each: shows that all runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "beginnings.json", help="JSON file")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    rows = []
    for kind in ("mlflow", "optuna"):
        for how in ("at_once", "killed"):
            rows.append(tried(kind, how, 2 if options.quick else options.tries))
            print(f"{kind}, {how}: {rows[-1]['tries']} tries, {len(rows[-1]['failed'])} failed", flush=True)
            for each in rows[-1]["failed"]:
                print(f"  {each}")
    write_json(options.out, {"machine": machine(torch.device("cpu")), "rows": rows})
    print(f"written: {options.out}")


def tried(kind: str, how: str, tries: int) -> dict[str, Any]:
    """What the tests' own program says of so many tries.

    Raises:
        IqaError: it failed itself.
    """
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "beginnings.py", kind, how, str(tries)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise IqaError("the tries could not be made", got=done.stderr[-1000:])
    said: dict[str, Any] = json.loads(done.stdout)
    return said


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
