"""Does an exported model say what its checkpoint says, and is ONNX Runtime faster than torch on this machine?

    python benchmarks/export.py [--experiments E ...] [--quick]        # 15 minutes on two cores

Each backbone of the standard configs, its relatives, and a join of three with heads for each part is frozen and trained
for two epochs on distorted photographs, without a hub from random weights; --experiments adds trained ones. Each is
exported, which scores real pictures both ways. A row has the largest difference over scores and ends of intervals, as a
share of the scale, and one how many times as long torch takes as ONNX Runtime for the same photographs, in turns.
"""

from __future__ import annotations

from helpers.command import speed_parser, tell

# isort: split
import argparse
import sys
from functools import partial
from pathlib import Path

from helpers.timing import LeftOut, Options, Row, in_turns

import iqa
from iqa.commands.cli import run_command
from iqa.deploy.export.exporting import export
from iqa.model.backbone.weights import PACKAGES

#: Names of timm, with what they are trained with besides.
NETWORKS = {
    "resnet18": {},
    "resnet34": {},
    "resnet50": {},
    "efficientnet_b0": {},
    "vit_small_patch16_224": {},
    "swin_tiny_patch4_window7_224": {},
    "convnext_atto": {},
    "tf_efficientnet_lite0": {},
    "tf_efficientnet_lite1": {},
    "tf_efficientnet_lite2": {},
    "resnet18+tf_efficientnet_lite0+tf_efficientnet_lite1": {"model.part_heads": 2, "model.pca_dim": 64},
}
SETTINGS = {
    "data.dataset": "folder", "data.picture_size": 224, "data.image_size": 224,
    "data.train_samples": 160, "data.val_samples": 96, "data.test_samples": 48,
    "model.freeze_backbone": True, "training.epochs": 2, "training.device": "cpu", "tracking.enabled": False,
}  # fmt: skip
#: Most that may differ, and photographs that are timed.
CLOSE, TIMED, QUICK = 1e-3, 96, 4


def measure(options: Options, experiments: list[Path]) -> list[Row]:
    kodak = options.data / "kodak24"
    photographs = sorted((options.data / "biq2021").rglob("*.jpg"))[: QUICK if options.quick else TIMED]
    if not photographs or not kodak.is_dir():
        raise LeftOut(f"needs biq2021/ and kodak24/ in {options.data}")
    rows = []
    for name, extra in list(NETWORKS.items())[: 1 if options.quick else None]:
        settings = SETTINGS | extra | {
            "experiment_name": "export", "model.backbone": name, "data.root": str(kodak),
            "data.cache_dir": str(options.scratch / "cache"),
            "model.pretrained": all(part in PACKAGES for part in name.split("+")),
        }  # fmt: skip
        folder = iqa.train("quick_test", settings=settings, output=options.scratch / name).folder
        rows += both_ways(name, folder, photographs, options)
    for folder in experiments:
        rows += both_ways(folder.name, folder, photographs, options)
    return rows


def both_ways(name: str, experiment: Path, photographs: list[Path], options: Options) -> list[Row]:
    """How far the file is from the checkpoint, and how fast beside it."""
    exported = export(experiment, options.scratch / f"{name}.onnx")
    report = exported.report
    torches, file = iqa.load(experiment, "cpu"), iqa.load(exported.file)
    took = in_turns(
        {"torch": lambda: torches.score(photographs), "onnx": lambda: file.score(photographs)},
        options.rounds,
        options.device,
        and_back=True,
    )
    apart, speed = report["max_difference"], took["torch"].over(took["onnx"])
    told = f"{report['pictures']} pictures, SRCC {report['srcc']:.5f}, opset {report['opset']}"
    a_second = ", ".join(f"{way} {len(photographs) / each.median:.1f}/s" for way, each in took.items())
    return [
        Row(f"{name}: difference", apart, apart, apart, aim=f"<= {CLOSE}", note=told),
        Row(f"{name}: torch / onnx", *speed, note=a_second),
    ]


def main(arguments: list[str]) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--experiments", nargs="*", type=Path, default=[], metavar="E", help="trained ones, besides")
    given: argparse.Namespace = parser.parse_args(arguments)
    tell(partial(measure, experiments=given.experiments), given)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
