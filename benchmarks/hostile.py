"""Does hostile input end in the project's own words? Settings, tables, records, checkpoints and pictures, damaged.

    python benchmarks/hostile.py [--cases 20000] [--only tables pictures] [--seed 0]

Cases are drawn by the strategies of tests/hostile, more of them than the tests try. A case is a fault where another
error than the project's own comes out, it takes over ten seconds, or files come or go outside its place.
"""

from __future__ import annotations

import helpers.of_tests  # noqa: F401
from helpers.command import RESULTS, ROOT, parser_of

# isort: split

import logging
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from helpers.timing import machine, machine_line
from hostile.judging import Outcome
from hostile.kinds import MAKERS, Kind, make_kind
from hostile.workshop import Workshop
from hypothesis import HealthCheck, Phase, given, seed, settings

from iqa.commands.cli import run_command
from iqa.files import write_json


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cases", type=int, default=20000, help="in all (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=list(MAKERS), choices=list(MAKERS), help="kinds to try")
    parser.add_argument("--seed", type=int, default=0, help="other numbers draw other cases")
    parser.add_argument("--out", type=Path, default=RESULTS / "hostile.json", help="JSON file")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(f"{'kind':<12}{'cases':>8}{'worked':>8}{'refused':>8}{'faults':>8}{'slowest':>9}{'seconds':>9}", flush=True)
    rows = []
    out = options.out.absolute()
    with tempfile.TemporaryDirectory(prefix="hostile-") as scratch:
        workshop = Workshop(Path(scratch))
        here = workshop.root / "here"
        here.mkdir()
        os.chdir(here)  # what is written without a place shows here
        share = sum(MAKERS[name][1] for name in options.only)
        for name in options.only:
            kind = make_kind(name, workshop)
            rows.append(tried(kind, round(options.cases * kind.share / share), options.seed))
            print(line(rows[-1]), flush=True)
        os.chdir(ROOT)
    for row in rows:
        for where, fault in row["kinds_of_faults"].items():
            print(f"{row['kind']}: {fault['count']} x {where}: {fault['said']}")
    write_json(out, {"machine": machine(torch.device("cpu")), "seed": options.seed, "rows": rows})
    print(f"\nwritten: {out}")


def tried(kind: Kind, count: int, start: int) -> dict[str, Any]:
    """What so many cases of a kind come to."""
    ended: list[Outcome] = []
    examples: dict[str, str] = {}

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.cases)
    def one(case: Any) -> None:
        ended.append(kind.judge(case))
        if ended[-1].verdict == "fault":
            examples.setdefault(ended[-1].where, repr(case)[:2000])

    began = time.monotonic()
    one()
    counts = Counter(outcome.verdict for outcome in ended)
    faults = Counter(outcome.where for outcome in ended if outcome.verdict == "fault")
    said = {outcome.where: outcome.said for outcome in ended if outcome.verdict == "fault"}
    return {
        "kind": kind.name,
        "cases": len(ended),
        **{verdict: counts[verdict] for verdict in ("worked", "refused", "fault")},
        "slowest": max(outcome.seconds for outcome in ended),
        "seconds": time.monotonic() - began,
        "kinds_of_faults": {
            where: {"count": number, "said": said[where], "example": examples[where]}
            for where, number in faults.most_common()
        },
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    counts = "".join(f"{row[name]:>8}" for name in ("cases", "worked", "refused", "fault"))
    return f"{row['kind']:<12}{counts}{row['slowest']:>8.2f}s{row['seconds']:>8.0f}s"


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
