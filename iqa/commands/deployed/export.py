"""Writes a trained model as a file that scores without torch: `iqa export MODEL --format onnx [--out F] [--quantise]`.

Real pictures are scored both ways before the file is there; how far they agree is said in <F>.report.json. `iqa score
--model F` takes the file for a model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.commands.cli import add_flag, add_model, named_model, parser_for
from iqa.files import in_bytes, roughly
from iqa.progress import tell

if TYPE_CHECKING:
    from iqa.deploy.export.exporting import Exported
    from iqa.scoring.scorer import Scorer

#: Times that the weights are held at once: by torch, by both of its traces, by ONNX and by its runtime.
COPIES = 6


def main(arguments: list[str]) -> None:
    options = read_arguments(arguments)
    model = named_model(options, "iqa export experiments/quick_test --format onnx")
    # Imported late: --help must not wait for torch.
    from iqa.deploy.export.exporting import export

    def begins(scorer: Scorer, target: Path) -> None:
        announce(model, scorer, target, quantise=options.quantise)

    done = export(
        model,
        options.out,
        format=options.format,
        quantise=options.quantise,
        pictures=options.pictures,
        coverage=options.coverage,
        begins=begins,
    )
    show(done)


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = parser_for("export", __doc__, 'It needs packages of its own: pip install "iqa[onnx]".')
    add_model(parser, "experiment folder, checkpoint, runs:/<id>, models:/<name>/<version>")
    parser.add_argument("--format", default="onnx", choices=("onnx",), help="of the file (default: %(default)s)")
    parser.add_argument("--out", default="", help="the file (default: beside the checkpoint)")
    add_flag(parser, "--quantise", "hold the weights in 8 bits: about a third of the size")
    parser.add_argument(
        "--pictures", default="", help="folder to check with (default: test pictures of the experiment)"
    )
    parser.add_argument(
        "--coverage", default=0.9, type=float, help="of the graph's outputs low and high (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def announce(model: str, scorer: Scorer, target: Path, *, quantise: bool) -> None:
    """The first line, on stderr as that of every command: what will be done, what it takes, where it writes."""
    from iqa.estimate import about, scoring
    from iqa.scoring.base import BATCH_SIZE
    from iqa.training.checkpoints import checkpoint_bytes

    weights, _ = checkpoint_bytes(scorer.model)
    memory = COPIES * weights + scoring(scorer.passing, 0, batch_size=BATCH_SIZE, on_gpu=False).memory
    how = "ONNX with weights in 8 bits" if quantise else "ONNX"
    what = f"{model} as {how}: {about(scorer.config)}"
    line = f"export: {what}; about {roughly(weights)} of disk, {roughly(memory)} of memory; writes {target}"
    tell(line, work="export", what=what, disk=weights, each=0, memory=memory, gpu=0, writes=[str(target)])


def show(done: Exported) -> None:
    """The outcome on the terminal."""
    report = done.report
    ranks = "" if report["srcc"] is None else f", SRCC {report['srcc']:.6f}"
    print(
        f"{report['pictures']} pictures scored both ways ({report['checked_with']}): "
        f"largest difference {report['max_difference']:.2g} of the scale{ranks}"
    )
    if report["srcc_of_file"] is not None:
        print(
            f"  SRCC with what people said of them: {report['srcc_of_checkpoint']:.4f} by the checkpoint, "
            f"{report['srcc_of_file']:.4f} by the file"
        )
    print(f"files:\n  {done.file} ({in_bytes(report['bytes'])}, opset {report['opset']})\n  {done.report_file}")
    print(f"score with it: iqa score --model {done.file} --input FOLDER")
