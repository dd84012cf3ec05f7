"""How many scored pictures does a model need? Test SRCC against the number of contents that it learned from.

    python benchmarks/how_many.py [--splits 5] [--output FOLDER]        # 5 minutes on two cores once cached

Trains `biq2021_lite0` on ever more contents, drawn from the training pictures of several splits by groups. Validation
and test pictures of a split stay. Draws how_many.png and writes how_many.json into --output.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from helpers.timing import machine, machine_line

from iqa.commands.cli import run_command
from iqa.config import ExperimentConfig
from iqa.config.reading import read_config
from iqa.data.prepared import PixelStore
from iqa.errors import UserError
from iqa.files import write_json
from iqa.metrics import srcc
from iqa.training.loop import Trainer
from iqa.tuning.workbench import Workbench

#: Training contents at most; None: all there are.
SIZES = (50, 100, 200, 400, 800, 1600, None)
#: What becomes of the other training pictures.
UNUSED = "unused"


class PartOfIt(Workbench):
    """A workbench on a part of the training pictures.

    Attributes:
        size: contents at most; None: all.
    """

    size: int | None = None

    def store(self, split: int | None = None) -> PixelStore:
        whole = super().store(split)
        manifest, random = whole.manifest, np.random.default_rng(whole.manifest["content"].nunique())
        learned = manifest["split"] == "train"
        contents = random.permutation(manifest.loc[learned, "content"].unique())[: self.size]
        unused = learned & ~manifest["content"].isin(contents)
        return replace(whole, manifest=manifest.assign(split=manifest["split"].mask(unused, UNUSED)))


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--splits", type=int, default=5, help="of BIQ2021 (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with biq2021/")
    parser.add_argument("--output", type=Path, default=RESULTS, help="for table and picture")
    options = parser.parse_args(arguments)
    root = options.data / "biq2021"
    if not root.is_dir():
        raise UserError("the photographs of BIQ2021 are needed", got=root, fix="--data FOLDER")
    print(machine_line(torch.device("cpu")), flush=True)
    rows = []
    for split in range(options.splits):
        config = read_config("biq2021_lite0", {"data.root": str(root), "data.split_seed": split})
        bench = PartOfIt(config)
        for step, bench.size in enumerate(SIZES):
            manifest = bench.store().manifest
            contents = manifest.loc[manifest["split"] == "train", "content"].nunique()
            found = best_test(bench, config)
            rows.append({"step": step, "split": split, "contents": contents, "srcc": found})
            print(f"split {split}: {contents:5} contents, test SRCC {found:.3f}", flush=True)
    table = pd.DataFrame(rows)
    for _, part in table.groupby("step"):
        print(f"contents {told(part['contents'])}: test SRCC {told(part['srcc'])}")
    options.output.mkdir(parents=True, exist_ok=True)
    draw(table, options.output / "how_many.png")
    write_json(options.output / "how_many.json", {"machine": machine(torch.device("cpu")), "rows": rows})
    print(f"written: {options.output / 'how_many.json'}, how_many.png")


def best_test(bench: Workbench, config: ExperimentConfig) -> float:
    """Test SRCC of the epoch that validation prefers."""
    trainer, best, tested = bench.trainer(config), -np.inf, float("nan")
    for record in trainer.epochs():
        if record.val_srcc is not None and record.val_srcc > best:
            best, tested = record.val_srcc, test_of(trainer)
    return tested


@torch.inference_mode()
def test_of(trainer: Trainer) -> float:
    model, feed = trainer.judged.eval(), trainer.feed
    said = torch.cat([feed.predict(model, part).score for part in feed.inputs("test")])
    return srcc(feed.pool("test", said).float().cpu().numpy(), feed.scores("test").cpu().numpy())


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
