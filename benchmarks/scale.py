"""Does memory know how many pictures there are, and does a picture cost more among many?

    python benchmarks/scale.py [--sizes 2000 20000 250000] [--quick]        # 40 minutes on two cores

Makes sets of small JPEG files with made-up scores, no two alike, and runs commands on each: `iqa train` with a small
frozen backbone at 64 px, the same again under another name, which finds everything prepared, and `iqa score` on the
folder. Tells the peak of memory, the time for each picture, and seconds that opening takes the second time. Draws
scale.png beside the JSON file.
"""

from __future__ import annotations

from helpers.command import RESULTS, parser_of

# isort: split

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from helpers.timing import machine, machine_line
from PIL import Image

from iqa.commands.cli import run_command
from iqa.errors import IqaError
from iqa.files import write_json

#: Pictures of a set, and side of each in pixels.
SIZES, QUICK, SIDE = (2000, 20_000, 250_000), (200, 400), 64
MEGABYTE = 2**20
CONFIG = {
    "data": {"dataset": "csv", "csv": "scores.csv", "image_root": "pictures", "score_range": [0, 1],
             "picture_size": SIDE, "image_size": SIDE, "crops": 1},
    "model": {"backbone": "test_resnet", "pretrained": False, "freeze_backbone": True, "n_clusters": 4,
              "mixture": {"dim": 8}},
    "training": {"epochs": 2, "device": "cpu"},
    "tracking": {"enabled": False},
}  # fmt: skip
#: Tells how long opening takes a process that has all it needs imported.
OPEN = """
import sys, time
from iqa.config.reading import read_config
from iqa.data.prepared import prepare
config = read_config(sys.argv[1])
began = time.perf_counter()
prepare(config.data, progress=False, once=True)
print(time.perf_counter() - began)
"""


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="pictures of each set (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="two small sets: shows that all runs, measures nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json", help="JSON file")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    rows = []
    for size in QUICK if options.quick else options.sizes:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            rows.append(measure(Path(folder), size))
        print(told(rows[-1]), flush=True)
    write_json(options.out, {"machine": machine(torch.device("cpu")), "rows": rows})
    draw(rows, options.out.with_suffix(".png"))
    print(f"written: {options.out}")


def measure(folder: Path, size: int) -> dict[str, Any]:
    """What commands take on a set of so many pictures."""
    make(folder, size)
    cache = {"cache_dir": str(folder / "cache"), "root": str(folder)}
    config = CONFIG | {"experiment_name": "first", "data": CONFIG["data"] | cache}
    (folder / "first.json").write_text(json.dumps(config))
    trained = run(folder, "-m", "iqa", "train", "--config", "first.json")
    again = run(folder, "-m", "iqa", "train", "--config", "first.json", "--experiment_name", "again")
    opened = run(folder, "-c", OPEN, "first.json")
    scored = run(folder, "-m", "iqa", "score", "--model", "experiments/first", "--input", "pictures",
                 "--tracking.enabled", "false")  # fmt: skip
    return {
        "pictures": size,
        "train": trained | {"each": trained["seconds"] / size},
        "again": again | {"each": again["seconds"] / size},
        "opening_seconds": float(opened["out"].split()[-1]),
        "score": scored | {"each": scored["seconds"] / size},
    }


def make(folder: Path, size: int) -> None:
    """Pictures that are noise of their own, coarser for lower scores, and the table of these."""
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    lines = ["image,mos"]
    for number in range(size):
        score = random.random()
        coarse = random.integers(0, 256, (8 + int(40 * score), 8, 3), dtype=np.uint8)
        name = f"{number:06}.jpg"
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(folder / "pictures" / name)
        lines.append(f"{name},{score:.4f}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run Python in a folder: seconds, the peak of its memory in MB, and what it printed.

    Raises:
        IqaError: it failed.
    """
    began = time.perf_counter()
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        log.seek(0)
        out = log.read()
    if os.waitstatus_to_exitcode(status):
        raise IqaError("a command failed", got=out[-2000:], expected=" ".join(arguments[:4]))
    return {"seconds": time.perf_counter() - began, "megabytes": used.ru_maxrss * 1024 / MEGABYTE, "out": out[-500:]}


def told(row: dict[str, Any]) -> str:
    parts = [f"{row['pictures']:,} pictures, opened in {row['opening_seconds']:.2f} s"]
    for name in ("train", "again", "score"):
        each = row[name]
        parts.append(f"{name} {each['seconds']:.0f} s, {1e3 * each['each']:.2f} ms each, {each['megabytes']:.0f} MB")
    return "; ".join(parts)


def draw(rows: list[dict[str, Any]], place: Path) -> None:
    """Memory and cost over the number of pictures."""
    figure, (memory, cost) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    sizes = [row["pictures"] for row in rows]
    for name in ("train", "again", "score"):
        memory.plot(sizes, [row[name]["megabytes"] for row in rows], "-o", label=name)
        cost.plot(sizes, [1e3 * row[name]["each"] for row in rows], "-o", label=name)
    memory.set(xscale="log", ylim=(0, None), xlabel="pictures", ylabel="peak of memory (MB)", title="Memory")
    cost.set(
        xscale="log", ylim=(0, None), xlabel="pictures", ylabel="milliseconds for each", title="Cost, start included"
    )
    memory.legend()
    figure.savefig(place, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
