"""Do our distortions match KADID-10k's in kind and strength?

    python benchmarks/distortion_match.py [--pictures 24] [--root FOLDER]        # about 2 minutes on two cores

Distorts clean pictures by all 25 kinds at 5 levels, scores them with the metric that pseudo-MOS uses, and
compares the metric's mean per cell with the mean that people gave to the same cell of KADID-10k. Writes
distortion_match.json and distortion_match.png to benchmarks/results.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from helpers.timing import machine, machine_line
from PIL import Image, ImageOps
from scipy.stats import rankdata, spearmanr

from iqa.commands.cli import run_command
from iqa.data.manifest import DISTORTIONS, LEVELS
from iqa.data.synthetic.distortions import KINDS, distort
from iqa.data.synthetic.pseudo_mos import fidelity, human_cells
from iqa.files import write_json

matplotlib.use("Agg")
import matplotlib.pyplot as plt

GROUP_COLORS = {
    "blur": "#0072b2", "color": "#d55e00", "compression": "#009e73", "noise": "#7f7f7f",
    "brightness": "#e0a800", "spatial": "#cc79a7", "sharpness_contrast": "#56b4e9",
}  # fmt: skip
#: Cells that are named in the plot.
NAMED_CELLS = 10
#: A kind whose cells lie this many of the 125 ranks off in the mean is named as disagreeing.
DISAGREEING_RANKS = 20


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--root", type=Path, default=SHARED / "kodak24", help="folder of clean pictures")
    parser.add_argument("--pictures", type=int, default=8, help="how many of them, evenly picked")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 384), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="for JSON and plot")
    options = parser.parse_args(arguments)
    files = sorted(p for p in options.root.glob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp"})
    if not files:
        print(f"skipped: no clean pictures in {options.root} (name a folder with --root)")
        return
    print(machine_line(torch.device("cpu")), flush=True)
    began = time.perf_counter()
    images = load(pick(files, options.pictures), tuple(options.size))
    cells = compare(images)
    report = summarise(cells, images, time.perf_counter() - began)
    print_report(report)
    write_json(options.out / "distortion_match.json", report)
    plot(cells, report, options.out / "distortion_match.png")
    print(f"written: {options.out / 'distortion_match.json'} and {options.out / 'distortion_match.png'}")


def pick(files: list[Path], count: int) -> list[Path]:
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[index] for index in chosen]


def load(files: list[Path], size: tuple[int, int]) -> torch.Tensor:
    """uint8 [N, 3, H, W]: every picture cut and resized to `size` (width, height)."""
    fitted = [ImageOps.fit(Image.open(file).convert("RGB"), size, Image.Resampling.BICUBIC) for file in files]
    return torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in fitted])


def compare(images: torch.Tensor) -> pd.DataFrame:
    """The human cells with the metric's mean and rank difference (positive: kinder than people)."""
    cells = human_cells()
    cells["group"] = [DISTORTIONS[name] for name in cells["name"]]
    seeds = list(range(len(images)))
    cells["metric"] = [
        float(np.mean(fidelity(images, distort(images, kind, level, seeds)))) for kind in KINDS for level in LEVELS
    ]
    cells["rank_difference"] = rankdata(cells["metric"]) - rankdata(cells["mean"])
    return cells


def summarise(cells: pd.DataFrame, images: torch.Tensor, seconds: float) -> dict:
    kinds = {
        name: {
            "srcc": float(spearmanr(rows["metric"], rows["mean"]).statistic),
            "rank_difference": float(rows["rank_difference"].mean()),
        }
        for name, rows in cells.groupby("name", sort=False)
    }
    off = {name: abs(row["rank_difference"]) for name, row in kinds.items()}
    return {
        "machine": machine(torch.device("cpu")),
        "srcc": float(spearmanr(cells["metric"], cells["mean"]).statistic),
        "pictures": len(images),
        "size": [images.shape[-1], images.shape[-2]],
        "seconds": round(seconds, 1),
        "disagreeing": [n for n in sorted(off, key=off.get, reverse=True) if off[n] >= DISAGREEING_RANKS],
        "kinds": kinds,
        "cells": cells.to_dict(orient="records"),
    }


def print_report(report: dict) -> None:
    width, height = report["size"]
    print(f"{report['pictures']} pictures of {width} x {height}, 125 cells, {report['seconds']} s\n")
    print(f"{'kind':30s}{'SRCC':>7s}{'ranks off':>11s}   (positive: the metric is kinder than people)")
    for name, row in report["kinds"].items():
        print(f"{name:30s}{row['srcc']:7.2f}{row['rank_difference']:+11.1f}")
    print(f"\nSRCC of metric and people over the 125 cells: {report['srcc']:.3f}")
    print(f"kinds {DISAGREEING_RANKS} ranks off or more: {', '.join(report['disagreeing']) or 'none'}")


def plot(cells: pd.DataFrame, report: dict, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 6.5), layout="constrained")
    for group, color in GROUP_COLORS.items():
        rows = cells[cells["group"] == group]
        label = group.replace("_", " / ")
        axes.scatter(
            rows["mean"],
            rows["metric"],
            s=14 + 9 * rows["level"],
            color=color,
            label=label,
            alpha=0.8,
            edgecolor="white",
            linewidth=0.6,
        )
    worst = cells.reindex(cells["rank_difference"].abs().sort_values(ascending=False).index)[:NAMED_CELLS]
    annotate(axes, worst)
    axes.set_xlim(1, 5)
    axes.set_ylim(max(0, cells["metric"].min() - 0.05), 1.04)
    axes.set_xlabel("mean human score in KADID-10k (1 bad, 5 excellent)")
    axes.set_ylabel("mean HaarPSI of our distortion")
    axes.set_title(
        f"Our distortions against people's scores, 25 kinds x 5 levels: SRCC {report['srcc']:.3f}\n"
        f"{report['pictures']} clean pictures of {report['size'][0]} x {report['size'][1]}; "
        "larger dots are higher levels; the cells furthest off are named",
        fontsize=11,
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", title="group")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def annotate(axes: plt.Axes, cells: pd.DataFrame) -> None:
    """Name cells beside their dots: left where the metric is kinder than people, else right.

    Names that would overlap move away from the cloud: up on the left, down on the right.
    """
    placed: list[tuple[float, float]] = []
    kinder = cells[cells["rank_difference"] > 0].sort_values("metric")
    harsher = cells[cells["rank_difference"] <= 0].sort_values("metric", ascending=False)
    for _, row in pd.concat([kinder, harsher]).iterrows():
        above = row["rank_difference"] > 0
        x, y = row["mean"] + (-0.06 if above else 0.06), row["metric"]
        while any(abs(x - other_x) < 0.9 and abs(y - other_y) < 0.022 for other_x, other_y in placed):
            y += 0.004 if above else -0.004
        placed.append((x, y))
        axes.annotate(
            f"{row['name'].replace('_', ' ')} level {row['level']}",
            (row["mean"], row["metric"]),
            (x, y),
            fontsize=8,
            ha="right" if above else "left",
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "grey"},
        )


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
