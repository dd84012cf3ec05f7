"""Does Spark score what one process scores, and how fast beside it on the same machine?

    python benchmarks/spark.py --model experiments/biq2021_lite0 [--quick]      # 20 minutes on two cores

By turns, as commands: `iqa score` and `iqa score --engine spark --master local[N]`, N the machine's cores, on the same
pictures of BIQ2021, then both on a few of them, which tells what a start takes. A ratio above 1 says that Spark is the
faster. What either says of a picture may differ by 1e-4.

Needs `pip install "iqa[spark]"` and Java 17 or newer, on Debian by `apt-get install default-jre-headless`.
"""

from __future__ import annotations

from helpers.command import ROOT, speed_parser, tell

# isort: split

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.timing import LeftOut, Options, Row, Timing, in_turns

from iqa.commands.cli import run_command
from iqa.data.store.pictures import SUFFIXES
from iqa.deploy.spark import check_installed
from iqa.errors import IqaError, UserError
from iqa.processes import cores

#: Pictures whose scoring tells what a start takes, and those of a quick look.
FEW, QUICK = 8, 24
#: Most that a score may differ by, on the model's scale of about 0 to 1.
CLOSE = 1e-4
ENGINES = {"local": [], "spark": ["--engine", "spark", "--master", f"local[{cores()}]"]}


def measure(options: Options, model: Path, number: int) -> list[Row]:
    """Differences, and speed with and without the start."""
    try:
        check_installed()
    except UserError as error:
        raise LeftOut(str(error)) from error
    found = options.data / "biq2021" / "Images"
    number = QUICK if options.quick else number
    names = sorted(file.name for file in found.glob("*") if file.suffix.lower() in SUFFIXES)[:number]
    if len(names) < number or not model.exists():
        raise LeftOut(f"needs {number} pictures in {found}, and the model {model}")
    whole, few = (_linked(found, names[:count], options.scratch / str(count)) for count in (number, FEW))
    works = {
        f"{engine} {len(names)}": partial(_score, model, whole, options.scratch / engine, extra)
        for engine, extra in ENGINES.items()
    } | {
        f"{engine} {FEW}": partial(_score, model, few, options.scratch / f"{engine}-{FEW}", extra)
        for engine, extra in ENGINES.items()
    }
    times = in_turns(works, options.rounds, options.device, warm_up=0)
    local, spark = (_table(options.scratch / engine) for engine in ENGINES)
    return [*_differences(local, spark), *_speeds(times, len(names))]


def _linked(found: Path, names: list[str], folder: Path) -> Path:
    """A folder with links to some pictures."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to((found / name).resolve())
    return folder


def _score(model: Path, pictures: Path, output: Path, extra: list[str]) -> None:
    """The command, in a place without results."""
    if output.exists():
        output.rename(output.with_name(f"{output.name}-before-{len(list(output.parent.iterdir()))}"))
    command = [sys.executable, "-m", "iqa", "score", "--model", model, "--input", pictures, "--output", output, *extra]
    command += [] if extra else ["--format", "parquet", "--tracking.enabled", "false"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise IqaError(f"iqa score ended with {done.returncode}", got=done.stderr[-1500:])


def _table(output: Path) -> pd.DataFrame:
    return pd.read_parquet(output / "scores.parquet").set_index("image").sort_index()


def _differences(local: pd.DataFrame, spark: pd.DataFrame) -> list[Row]:
    if not local.index.equals(spark.index) or not local["error"].isna().equals(spark["error"].isna()):
        raise IqaError("the engines scored different pictures", got=f"{len(local)} and {len(spark)} rows")
    rows = []
    for name in ("score", "low", "high", "log_likelihood"):
        apart = (local[name].astype(float) - spark[name].astype(float)).abs()
        most = float(np.nanmax(apart)) if apart.notna().any() else 0.0
        rows.append(Row(f"largest difference of {name}", most, most, most, aim=f"<= {CLOSE:g}" * (name == "score")))
    other = float((local["cluster"].astype(float).fillna(-1) != spark["cluster"].astype(float).fillna(-1)).sum())
    return [*rows, Row("pictures in another cluster", other, other, other, aim="0")]


def _speeds(times: dict[str, Timing], number: int) -> list[Row]:
    def rates(engine: str) -> Timing:
        """Seconds a picture once the start is over, of each round."""
        pairs = zip(times[f"{engine} {number}"].seconds, times[f"{engine} {FEW}"].seconds, strict=True)
        return Timing(tuple((long - short) / (number - FEW) for long, short in pairs))

    rows = []
    for engine in ENGINES:
        whole, start, each = times[f"{engine} {number}"], times[f"{engine} {FEW}"], rates(engine)
        low, high = each.interval()
        rows.append(Row(f"{engine}: {number} pictures, start to end", whole.median, *whole.interval(), "s"))
        rows.append(Row(f"{engine}: {FEW} pictures", start.median, *start.interval(), "s"))
        rows.append(Row(f"{engine}: once started", 1 / each.median, 1 / high, 1 / low, "pictures/s"))
    whole_ratio = times[f"local {number}"].over(times[f"spark {number}"])
    rows.append(Row("speed of Spark over that of one process, whole command", *whole_ratio))
    rows.append(Row("the same, once started", *rates("local").over(rates("spark"))))
    return rows


def main(given: argparse.Namespace) -> None:
    tell(partial(measure, model=given.model, number=given.pictures), given)


if __name__ == "__main__":
    parser = speed_parser(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--model", type=Path, default=Path("experiments/biq2021_lite0"), help="(default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=2000, help="of BIQ2021 (default: %(default)s)")
    run_command(lambda _: main(parser.parse_args()), [])
