"""How fast it is, against its limit: one table and speed.json for this machine, CPU or GPU alike.

    python benchmarks/speed.py [--only step,frozen,...] [--quick] [--rounds 7] [--backbones resnet18,resnet50]

step    R_loop, R_model and R_roof: the training loop against the bare step, the mixture against a linear layer, the
        bare step against what the processor can do
frozen  an epoch from cached features against one from pixels
data    distorting and scoring, decoding, the second start, each against doing it one picture at a time
plain   the loop that one would write by hand: seconds an epoch, and the SRCC that both reach
growth  cost and memory over pictures, clusters and batch size
start   seconds of `--help`, of a faulty config
tsne    10,000 features against scikit-learn's
run     R_run: the arithmetic of 50 epochs against the whole `mlflow run`

Contenders take turns within one process; figures are medians with 95 % intervals over rounds. A part whose packages
or data are not there is left out, and said to be. Where the project is not installed: PYTHONPATH=. before the command.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.commands.cli import run_command
from iqa.files import write_json

if TYPE_CHECKING:
    from timing import Options, Row

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("step", "frozen", "data", "plain", "growth", "start", "tsne", "run")
BACKBONES = "resnet18,resnet50,efficientnet_b0,vit_small_patch16_224"


def main(arguments: list[str]) -> None:
    # Imported late: a command's settings of threads and memory come first (iqa.commands.cli).
    from timing import LeftOut, machine

    with tempfile.TemporaryDirectory(prefix="speed-") as scratch:
        chosen, options, out = parse(arguments, Path(scratch))
        rows: list[Row] = []
        left_out: dict[str, str] = {}
        about = machine(options.device)
        print(f"{about['gpu'] or about['processor']}, {about['cores']} cores, {about['packages']}", flush=True)
        for part in chosen:
            try:
                found = importlib.import_module(f"speed_{part}").measure(options)
            except (LeftOut, ImportError) as reason:
                left_out[part] = str(reason)
                print(f"{part} is left out: {reason}", flush=True)
                continue
            for row in found:
                print(line(row), flush=True)
            rows += found
    written = {"machine": about, "quick": options.quick, "rows": [row.to_dict() for row in rows], "left_out": left_out}
    write_json(out, written)
    print(f"\nwritten: {out}")


def parse(arguments: list[str], scratch: Path) -> tuple[list[str], Options, Path]:
    import torch
    from timing import Options

    shared = Path(os.environ.get("IQA_SHARED_DATA", ROOT / "../shared/data"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, joined by commas (default: all)")
    parser.add_argument("--quick", action="store_true", help="smallest sizes: shows that all runs, measures nothing")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--backbones", default=BACKBONES, help="of the step table (default: %(default)s)")
    parser.add_argument(
        "--pictures", type=int, default=0, help="of an epoch of the step table (default: few, by device)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=shared, help="folder with cifar10/ and kodak24/")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    given = parser.parse_args(arguments)
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    if given.rounds < 1:
        parser.error(f"--rounds: got {given.rounds}, expected 1 or more")
    if given.pictures and given.pictures < 128:
        parser.error(f"--pictures: got {given.pictures}, expected 128 or more, or 0")
    options = Options(
        device=torch.device(given.device),
        rounds=2 if given.quick else given.rounds,
        quick=given.quick,
        backbones=tuple(given.backbones.split(",")),
        data=given.data,
        pictures=given.pictures,
        scratch=scratch,
    )
    return [part for part in PARTS if part in parts], options, given.out


def line(row: Row) -> str:
    interval = f"[{row.low:.3g}, {row.high:.3g}]"
    aim = f"  aim {row.aim}" if row.aim else ""
    note = f"  ({row.note})" if row.note else ""
    return f"{row.part:7} {row.what:58} {row.value:10.4g} {interval:20} {row.unit}{aim}{note}"


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
