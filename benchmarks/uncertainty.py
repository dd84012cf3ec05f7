"""Do intervals hold, for whom, and are foreign pictures told from a model's own?

    python benchmarks/uncertainty.py [--splits 5] [--output FOLDER]        # 15 minutes on two cores, 4 once cached

Trains `biq2021_lite0` on several splits and the CIFAR-10 experiment with the same backbone, frozen, on three. Prints
coverage and width of 90 % intervals beside those of one width for all pictures that hold as often, SRCC when the least
certain fifth is set aside, and how well `typicality` tells four sorts of foreign pictures from the test pictures of the
first split (AUROC). Tables and figures of each split are in its folder under --output, the summary in uncertainty.json
there.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from helpers.timing import machine, machine_line
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

import iqa
from iqa.commands.cli import run_command
from iqa.data.manifest import DISTORTIONS
from iqa.data.synthetic.distortions import distort
from iqa.evaluation.report import RESULTS as RESULTS_FILE
from iqa.evaluation.report import TABLE
from iqa.files import read_json, split_folder, write_json
from iqa.training.checkpoints import ExperimentFolder

#: Foreign pictures of each sort, and the side that all are seen at.
FOREIGN, SIDE = 160, 512
#: Groups of fewer pictures tell no coverage.
LEAST = 50
#: What the risk curve is read at.
SET_ASIDE = 0.2
SILENT = {"tracking.enabled": False}


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--splits", type=int, default=5, help="of BIQ2021 (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with biq2021/, cifar10/ and kodak24/")
    parser.add_argument("--output", type=Path, default=RESULTS / "uncertainty", help="for experiments and summary")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    report: dict[str, Any] = {"machine": machine(torch.device("cpu"))}
    trainings: dict[str, tuple[str, int, dict[str, Any]]] = {
        "biq2021": ("biq2021_lite0", options.splits, {}),
        "cifar10": ("resnet18_frozen", 3, {"model.backbone": "tf_efficientnet_lite0", "training.epochs": 10}),
    }
    for name, (config, splits, settings) in trainings.items():
        root = options.data / name
        if not root.is_dir():
            print(f"left out: {root} does not exist")
            continue
        named = {"experiment_name": name, "data.root": str(root)}
        iqa.train(config, settings=settings | named | SILENT, output=options.output, repeats=splits)
        folders = [split_folder(options.output / name, number) for number in range(splits)]
        report[name] = [intervals_of(ExperimentFolder(each).visualizations) for each in folders]
        print_coverage(name, report[name])
    if "biq2021" in report and (options.data / "kodak24").is_dir() and (options.data / "cifar10").is_dir():
        report["foreign"] = foreign(split_folder(options.output / "biq2021", 0), options.data)
    write_json(options.output / "uncertainty.json", report)
    print(f"written: {options.output / 'uncertainty.json'}")


def intervals_of(tested: Path) -> dict[str, Any]:
    """What the test said of intervals, and how wide one width for all is that holds as often on these very pictures."""
    intervals: dict[str, Any] = read_json(tested / RESULTS_FILE)["intervals"]
    table = pd.read_csv(tested / TABLE)
    half = np.quantile((table["score"] - table["predicted"]).abs(), intervals["coverage"]["value"], method="higher")
    alike = (table["predicted"] + half).clip(0, 1) - (table["predicted"] - half).clip(0, 1)
    return intervals | {"one_width": {"value": float(alike.mean())}}


def print_coverage(name: str, splits: Sequence[dict[str, Any]]) -> None:
    """A line a split, and one for all of them."""
    print(f"\n{name}: 90 % intervals, {len(splits)} splits")
    print("split  coverage  width  one width   fewest in a cluster  in a subset  in a kind  SRCC in subsets: all, kept")
    for number, split in enumerate(splits):
        fewest = [least(split[f"by_{group}"]) for group in ("cluster", "subset", "kind")]
        risk = split["risk"]
        place = risk["set_aside"].index(SET_ASIDE)
        kept = [risk["srcc_within_subsets"][each] for each in (0, place)]
        told = "".join(f"{value:13.3f}" if value is not None else f"{'-':>13}" for value in fewest)
        coverage, width, alike = (split[figure]["value"] for figure in ("coverage", "width", "one_width"))
        print(f"{number:5}  {coverage:8.3f}  {width:.3f}  {alike:9.3f}  {told}   {kept[0]:.3f} {kept[1]:.3f}")
    for figure in ("coverage", "width", "one_width"):
        values = np.array([split[figure]["value"] for split in splits])
        print(f"{figure}: {values.mean():.3f} ({values.min():.3f} to {values.max():.3f})")


def least(groups: dict[str, dict[str, float]]) -> float | None:
    """The smallest coverage in a group that is large enough to tell."""
    told = [group["coverage"] for group in groups.values() if group["n"] >= LEAST]
    return min(told, default=None)


def foreign(experiment: Path, data: Path) -> dict[str, dict[str, float]]:
    """How well each sort of foreign picture is told from an experiment's own test pictures."""
    model = iqa.load(experiment)
    manifest = ExperimentFolder(experiment).read_manifest()
    assert manifest is not None
    tested = manifest[manifest["split"] == "test"]
    own = [data / "biq2021" / "Images" / name for name in tested["image"]]
    usual = model.score(own)["typicality"].to_numpy()
    print(f"\nforeign pictures, {FOREIGN} of a sort, against {len(own)} test pictures of biq2021 by typicality")
    print(f"{'':24}  AUROC   share below .05 (of its own: {np.mean(usual < 0.05):.3f})")
    found = {}
    for name, pictures in sorts(own, data).items():
        given = model.score(pictures)["typicality"].to_numpy()
        auroc = roc_auc_score(np.repeat([1, 0], [len(usual), len(given)]), np.concatenate([usual, given]))
        found[name] = {"auroc": float(auroc), "below_.05": float(np.mean(given < 0.05))}
        print(f"{name:24}  {auroc:.3f}   {found[name]['below_.05']:.3f}", flush=True)
    print(f"{'mean':24}  {np.mean([each['auroc'] for each in found.values()]):.3f}")
    return found


def sorts(own: Sequence[Path], data: Path) -> dict[str, list[Image.Image]]:
    """Foreign pictures by their sort."""
    random = np.random.default_rng(0)
    grey = [own[number] for number in random.choice(len(own), FOREIGN, replace=False)]
    return {
        "CIFAR-10 enlarged": enlarged(data / "cifar10"),
        "Kodak's, distorted": distorted(sorted((data / "kodak24").glob("*.png"))),
        "drawings": [drawing(random) for _ in range(FOREIGN)],
        "its own, without colour": [Image.open(path).convert("L").convert("RGB") for path in grey],
    }


def enlarged(root: Path) -> list[Image.Image]:
    frame = pd.read_parquet(sorted(root.glob("test-*.parquet"))[0]).head(FOREIGN)
    column = next(name for name in frame if name != "label")
    pictures = [Image.open(io.BytesIO(cell["bytes"])).convert("RGB") for cell in frame[column]]
    return [picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for picture in pictures]


def distorted(files: Sequence[Path]) -> list[Image.Image]:
    """Middles of clean photographs, each kind of distortion in turn, at levels 3 to 5."""
    kinds, found = list(DISTORTIONS), []
    for number in range(FOREIGN):
        picture = Image.open(files[number % len(files)]).convert("RGB")
        left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
        pixels = torch.from_numpy(np.array(picture.crop((left, top, left + SIDE, top + SIDE)))).permute(2, 0, 1)
        seen = distort(pixels[None], kinds[number % len(kinds)], 3 + number % 3, [number])[0]
        found.append(Image.fromarray(seen.permute(1, 2, 0).numpy()))
    return found


def drawing(random: np.random.Generator) -> Image.Image:
    """Boxes, rings, lines and words on a pale ground."""
    picture = Image.new("RGB", (SIDE, SIDE), tuple(int(value) for value in random.integers(200, 256, 3)))
    pen = ImageDraw.Draw(picture)
    draw: list[Callable[[list[int], tuple[int, ...]], None]] = [
        lambda box, color: pen.rectangle(box, fill=color),
        lambda box, color: pen.ellipse(box, outline=color, width=3),
        lambda box, color: pen.line(box, fill=color, width=2),
        lambda box, _: pen.text(box[:2], "The quick brown fox 0123456789", fill=(0, 0, 0)),
    ]
    for _ in range(random.integers(10, 40)):
        (left, right), (top, bottom) = np.sort(random.integers(0, SIDE, (2, 2))).tolist()
        color = tuple(int(value) for value in random.integers(0, 256, 3))
        draw[random.integers(len(draw))]([left, top, right, bottom], color)
    return picture


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
