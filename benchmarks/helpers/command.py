"""Options, table and JSON file of the speed scripts, and the places that all scripts know.

A script imports this before torch: on import torch reads how long waiting threads spin, which every command of the
project sets as well (`iqa.commands.cli`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .timing import Options, Row

os.environ.setdefault("GOMP_SPINCOUNT", "50000")

ROOT = Path(__file__).resolve().parents[2]
#: Folder for JSON files and plots.
RESULTS = ROOT / "benchmarks" / "results"
#: Folder with biq2021/, cifar10/ and kodak24/.
SHARED = Path(os.environ.get("IQA_SHARED_DATA", ROOT.parent / "shared" / "data"))


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def speed_parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every speed script has."""
    import torch

    parser = parser_of(doc)
    parser.add_argument("--quick", action="store_true", help="smallest sizes: shows that all runs, measures nothing")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with biq2021/, cifar10/ and kodak24/")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{Path(sys.argv[0]).stem}.json", help="JSON file")
    return parser


def tell(measure: Callable[[Options], list[Row]], given: argparse.Namespace) -> None:
    """Measure; print the machine and a line for each figure, and write both to `given.out`.

    Raises:
        UserError: no rounds.
    """
    # Imported late: what is set above comes first.
    import torch

    from iqa.errors import UserError
    from iqa.files import write_json

    from .timing import LeftOut, Options, machine, machine_line

    if given.rounds < 1:
        raise UserError("--rounds counts turns", got=given.rounds, expected="1 or more")
    device = torch.device(given.device)
    print(machine_line(device), flush=True)
    with tempfile.TemporaryDirectory(prefix="speed-") as scratch:
        rounds = 2 if given.quick else given.rounds
        options = Options(device, rounds, given.quick, given.data, Path(scratch))
        try:
            rows = measure(options)
        except LeftOut as reason:
            print(f"left out: {reason}")
            return
    for row in rows:
        print(line(row))
    written = {"machine": machine(device), "quick": given.quick, "rows": [row.to_dict() for row in rows]}
    write_json(given.out, written)
    print(f"\nwritten: {given.out}")


def line(row: Row) -> str:
    """A figure with its interval, what was hoped for, and how it came about."""
    interval = f"[{row.low:.3g}, {row.high:.3g}]"
    aim = f"  aim {row.aim}" if row.aim else ""
    note = f"  ({row.note})" if row.note else ""
    return f"{row.what:60} {row.value:10.4g} {interval:20} {row.unit}{aim}{note}"
