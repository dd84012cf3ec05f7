"""Does it cost SRCC that a frozen backbone's features are kept in float16?

    python benchmarks/halves.py [--config biq2021_lite0] [--repeats 5]        # 12 minutes on two cores

The same trainings twice, with features in float16 as they are kept, and in float32: the same splits, seeds and
pictures. Tells the difference of the test SRCC, split by split.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from helpers.timing import machine, machine_line

import iqa
from iqa.api.results import RepeatsResult
from iqa.commands.cli import run_command
from iqa.files import write_json
from iqa.training.frozen import features, table


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--config", default="biq2021_lite0", help="of a frozen backbone (default: %(default)s)")
    parser.add_argument("--root", type=Path, default=SHARED / "biq2021", help="of its pictures (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="splits (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "halves.json", help="JSON file")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    out = options.out.absolute()
    with tempfile.TemporaryDirectory(prefix="halves-") as folder:
        os.chdir(folder)
        root = options.root.absolute()
        halves, wholes = (
            test_srcc(kept_as, options.config, root, options.repeats) for kept_as in ("float16", "float32")
        )
    differences = np.subtract(halves, wholes)
    for row in zip(halves, wholes, differences, strict=True):
        print("float16 {:.4f}, float32 {:.4f}, difference {:+.5f}".format(*row))
    error = differences.std(ddof=1) / len(differences) ** 0.5
    print(f"mean difference {differences.mean():+.5f}, its standard error {error:.5f}")
    write_json(out, {"machine": machine(torch.device("cpu")), "float16": halves, "float32": wholes})


def test_srcc(kept_as: str, config: str, root: Path, repeats: int) -> list[float]:
    """Test SRCC of each split, with features kept so."""
    table.DTYPE = features.DTYPE = np.dtype(kept_as)
    settings = {"data.root": str(root), "data.cache_dir": kept_as, "tracking.enabled": False}
    done = iqa.train(config, settings=settings, output=kept_as, repeats=repeats)
    assert isinstance(done, RepeatsResult)
    return [split["test"]["srcc"] for split in done.summary["splits"]]


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
