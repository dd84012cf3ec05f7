"""What do other methods reach on the splits of BIQ2021 that our models are tested on?

    pip install -r requirements-benchmarks.txt
    python benchmarks/baselines.py [--root BIQ2021]        # about 40 minutes on two cores, half of it finetune
    python benchmarks/baselines.py --only finetune,cnniqa --splits 1 --epochs 8        # 37 minutes

subset_mean     the mean score of the picture's subset: the floor
brisque         BRISQUE with its own trained regression; brisque_svr: retrained on our training pictures
ridge           ridge regression on the last layer of a frozen ImageNet network
finetune        the same network fine-tuned with one output, on the first --finetune_splits splits
cnniqa, topiq   IQA-PyTorch's own training (only if named by --only: pip install pyiqa==0.1.16), on as many splits

Settings and epochs are chosen on validation pictures; test pictures are scored once. Where other programs share the
cores, set OMP_NUM_THREADS=1: threads that wait for each other cost a network up to ten times its time. Prints one
table and writes baselines.json to benchmarks/results.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import argparse
import importlib.util
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers.baseline_features import (
    Prediction,
    Split,
    brisque_released,
    brisque_retrained,
    cache_of,
    ridge,
    subset_mean,
)
from helpers.timing import machine, machine_line

from iqa import metrics
from iqa.commands.cli import run_command
from iqa.config.data import DataConfig
from iqa.data.scored.load import load_scored
from iqa.data.store.cache import cache_folder
from iqa.device import choose_device
from iqa.errors import UserError
from iqa.files import write_json


def finetune(split: Split) -> Prediction:
    from helpers import baseline_network

    return baseline_network.finetune(split)


def cnniqa(split: Split) -> Prediction:
    from helpers import iqa_pytorch

    return iqa_pytorch.cnniqa(split)


def topiq(split: Split) -> Prediction:
    from helpers import iqa_pytorch

    return iqa_pytorch.topiq(split)


BASELINES: dict[str, Callable[[Split], Prediction]] = {
    "subset_mean": subset_mean,
    "brisque": brisque_released,
    "brisque_svr": brisque_retrained,
    "ridge": ridge,
    "finetune": finetune,
    "cnniqa": cnniqa,
    "topiq": topiq,
}
#: Run only if named: their package is not among the project's requirements, and they are slow.
ON_DEMAND = ("cnniqa", "topiq")
#: Too slow to train on every split.
SLOW = ("finetune", *ON_DEMAND)
PACKAGES = {"brisque": "brisque", "brisque_svr": "brisque", "cnniqa": "pyiqa", "topiq": "pyiqa"}


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    if not options.root.is_dir():
        print(f"skipped: no BIQ2021 in {options.root} (name its folder with --root)")
        return
    results: dict[str, list[dict[str, Any]]] = {}
    file = options.out / "baselines.json"
    chosen = runnable(options.only)
    device = choose_device("auto")
    about = machine(device)
    print(machine_line(device), flush=True)
    for seed in range(options.splits):
        split = load_split(options, seed)
        for name in chosen:
            if name not in SLOW or seed < options.finetune_splits:
                results.setdefault(name, []).append(run(name, split, options.bootstrap))
                # At once: a network takes many minutes, and the next may fail.
                write_json(file, {"machine": about, "options": shown(options), "baselines": results})
    if not results:
        raise UserError("nothing was run", fix="name baselines that are installed with --only, and at least one split")
    print_table(results)
    print(f"\nwritten: {file}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--root", type=Path, default=SHARED / "biq2021", help="BIQ2021 as its authors ship it")
    parser.add_argument("--splits", type=int, default=5, help="how many, by split seed from 0")
    parser.add_argument("--groups", default="auto", help="how they are drawn: auto, by groups; none, by picture")
    parser.add_argument("--finetune_splits", type=int, default=1, help="how many of them networks are trained on")
    parser.add_argument("--only", type=names, default=[n for n in BASELINES if n not in ON_DEMAND], help="NAME,NAME")
    parser.add_argument("--limit", type=int, help="at most so many pictures, spread over the parts of a split")
    parser.add_argument("--epochs", type=int, default=10, help="for networks that are trained")
    parser.add_argument("--side", type=int, default=224, help="pixels that ridge and finetune see")
    parser.add_argument("--crop", type=int, default=224, help="pixels that cnniqa and topiq are trained on")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples for 95%% intervals")
    parser.add_argument("--workers", type=int, default=2, help="processes that read pictures")
    parser.add_argument("--cache_dir", help="for features; default $IQA_CACHE or ~/.cache/iqa")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for JSON")
    return parser.parse_args(arguments)


def names(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(BASELINES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BASELINES)}")
    return [name for name in BASELINES if name in chosen]


def runnable(wanted: list[str]) -> list[str]:
    """Those of `wanted` whose package is installed; the others are told of."""
    missing = {name for name in wanted if name in PACKAGES and not importlib.util.find_spec(PACKAGES[name])}
    for name in sorted(missing):
        print(f"{name} is left out: the package {PACKAGES[name]} is not installed", file=sys.stderr)
    return [name for name in wanted if name not in missing]


def load_split(options: argparse.Namespace, seed: int) -> Split:
    data = DataConfig(dataset="biq2021", root=str(options.root), split_seed=seed, groups=options.groups)
    if options.limit:
        shares = dict(zip(("train", "val", "test"), data.split_shares, strict=True))
        most = {f"{name}_samples": max(4, round(options.limit * share)) for name, share in shares.items()}
        data = data.model_copy(update=most)
    pictures = load_scored(data)
    return Split(
        pictures=pictures,
        table=pictures.manifest,
        seed=seed,
        side=options.side,
        crop=options.crop,
        epochs=options.epochs,
        workers=options.workers,
        cache=cache_of(cache_folder(options.cache_dir), options.root),
    )


def run(name: str, split: Split, resamples: int) -> dict[str, Any]:
    """One baseline on one split: metrics and intervals on its test pictures, pooled and per subset."""
    began = time.perf_counter()
    said = BASELINES[name](split)
    test = split.part("test")
    groups = {"pooled": np.ones(len(test), dtype=bool)}
    groups |= {subset: (test["subset"] == subset).to_numpy() for subset in sorted(set(test["subset"]) - {""})}
    result = {
        "split": split.seed,
        "pictures": split.table["split"].value_counts().to_dict(),
        "fit_seconds": round(said.fit_seconds, 2),
        "picture_ms": round(said.picture_ms, 2),
        "chosen": said.chosen,
        **{group: measure(said.test[rows], test[rows], resamples) for group, rows in groups.items()},
    }
    print(f"{name}, split {split.seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return json_able(result)


def measure(predicted: np.ndarray, test: pd.DataFrame, resamples: int) -> dict[str, Any]:
    """All metrics and their intervals; none for fewer pictures than the logistic has to fit."""
    if len(test) < metrics.MIN_LOGISTIC:
        return {**dict.fromkeys(metrics.METRICS), "intervals": {name: [None, None] for name in metrics.METRICS}}
    true = test["score"].to_numpy()
    intervals = metrics.bootstrap(predicted, true, samples=resamples, groups=test["content"])
    return {**metrics.scores(predicted, true), "intervals": {name: list(ends) for name, ends in intervals.items()}}


def json_able(value: Any) -> Any:
    """`value` with None for numbers that are none: a correlation with a constant is undefined."""
    if isinstance(value, dict):
        return {str(key): json_able(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_able(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def shown(options: argparse.Namespace) -> dict[str, Any]:
    """What decides the numbers, without places on this machine."""
    kept = ("splits", "groups", "finetune_splits", "only", "limit", "epochs", "side", "crop", "bootstrap")
    return {name: getattr(options, name) for name in kept}


def print_table(results: dict[str, list[dict[str, Any]]]) -> None:
    subsets = [key for key in next(iter(results.values()))[0] if key.startswith("ss")]
    columns = ["baseline", "splits", "SRCC", "range", "split 0 [95 %]", "PLCC", "PLCC log.", "KRCC", "RMSE"]
    columns += ["RMSE log.", *(f"SRCC {subset}" for subset in subsets), "fit s", "ms/picture"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, folds in results.items():
        print(f"| {' | '.join(row(name, folds, subsets))} |")
    print(
        "\nMedians over the splits' test pictures; split 0 with its bootstrap interval, where all baselines compare. "
        "log.: after a four-parameter logistic fitted to the test pictures. "
        "Raw RMSE of brisque: its 0-100 scale turned by 1 - score / 100."
    )


def row(name: str, folds: list[dict[str, Any]], subsets: list[str]) -> list[str]:
    def median(group: str, metric: str) -> str:
        values = [fold[group][metric] for fold in folds if fold[group][metric] is not None]
        return number(float(np.median(values))) if values else "–"

    srcc = [fold["pooled"]["srcc"] for fold in folds if fold["pooled"]["srcc"] is not None]
    low, high = folds[0]["pooled"]["intervals"]["srcc"]
    return [
        name,
        str(len(folds)),
        median("pooled", "srcc"),
        f"{number(min(srcc))}–{number(max(srcc))}" if srcc else "–",
        f"{number(folds[0]['pooled']['srcc'])} [{number(low)}, {number(high)}]",
        *(median("pooled", metric) for metric in ("plcc", "plcc_logistic", "krcc", "rmse", "rmse_logistic")),
        *(median(subset, "srcc") for subset in subsets),
        f"{np.median([fold['fit_seconds'] for fold in folds]):.1f}",
        f"{np.median([fold['picture_ms'] for fold in folds]):.1f}",
    ]


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
