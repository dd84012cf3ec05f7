"""How many scored pictures does a model need? Test SRCC against the number of contents that it learned from.

    python benchmarks/how_many.py [--splits 5] [--output FOLDER]        # 5 minutes on two cores once cached

Trains `biq2021_lite0` on ever more training pictures of several splits by groups, which keep their validation and test
pictures, and tests each. Draws how_many.png and writes how_many.json into --output.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from helpers.timing import machine, machine_line

import iqa
from iqa.commands.cli import run_command
from iqa.errors import UserError
from iqa.files import read_json, split_folder, write_json
from iqa.training.checkpoints import ExperimentFolder

#: Training pictures at most; None: all there are.
SIZES = (50, 100, 200, 400, 800, 1600, None)


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--splits", type=int, default=5, help="of BIQ2021 (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with biq2021/")
    parser.add_argument("--output", type=Path, default=RESULTS / "how_many", help="for experiments, table and picture")
    options = parser.parse_args(arguments)
    root = options.data / "biq2021"
    if not root.is_dir():
        raise UserError("the photographs of BIQ2021 are needed", got=root, fix="--data FOLDER")
    print(machine_line(torch.device("cpu")), flush=True)
    rows = []
    for step, size in enumerate(SIZES):
        name = f"lite0-{size or 'all'}"
        settings = {"experiment_name": name, "data.root": str(root), "tracking.enabled": False}
        if size:
            settings["data.train_samples"] = size
        iqa.train("biq2021_lite0", settings=settings, output=options.output, repeats=options.splits)
        for number in range(options.splits):
            folder = ExperimentFolder(split_folder(options.output / name, number))
            manifest = folder.read_manifest()
            assert manifest is not None
            learned = manifest[manifest["split"] == "train"]
            tested = read_json(folder.visualizations / "test_results.json")
            srcc, intervals = tested["metrics"]["srcc"]["value"], tested["intervals"]
            width = intervals["width"]["value"] if intervals else None
            contents = learned["content"].nunique()
            rows.append({"step": step, "split": number, "contents": contents, "srcc": srcc, "width": width})
        last = pd.DataFrame(rows)[-options.splits :]
        said = ", ".join(f"{name} {told(last[name])}" for name in ("contents", "srcc", "width"))
        print(f"at most {size or 'all'} pictures: {said}", flush=True)
    table = pd.DataFrame(rows)
    draw(table, options.output / "how_many.png")
    write_json(options.output / "how_many.json", {"machine": machine(torch.device("cpu")), "rows": rows})
    print(f"written: {options.output / 'how_many.json'}, how_many.png")


def told(values: pd.Series) -> str:
    """Median and range over splits."""
    known = values.astype(float)
    return f"{known.median():.4g} ({known.min():.4g} to {known.max():.4g})"


def draw(table: pd.DataFrame, place: Path) -> None:
    """Each split as a point, their median as a line."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot(table["contents"], table["srcc"], "o", color="0.6", markersize=4, label="a split")
    middle = table.groupby("step")[["contents", "srcc"]].median()
    axes.plot(middle["contents"], middle["srcc"], "-o", label="median")
    axes.set_xscale("log")
    axes.set_xticks(middle["contents"], [f"{count:,.0f}" for count in middle["contents"]])
    axes.minorticks_off()
    axes.set(xlabel="contents to learn from", ylabel="test SRCC", title="BIQ2021, frozen lite0, split by groups")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(place, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
