"""From a checkpoint to an ONNX file that holds all that scoring needs: the graph, and as metadata the rest."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto

import iqa
from iqa.deploy.export.graph import SquareJudge
from iqa.deploy.export.operators import said_in_onnx
from iqa.errors import IqaError, UserError, first_line
from iqa.scoring.onnx_scorer import FORMAT, INPUT, METADATA
from iqa.scoring.scorer import Scorer
from iqa.training.checkpoints import load_checkpoint

#: Of ONNX's operators: the first that knows all that a network here is made of is 18, and every runtime has 20.
OPSET = 20
#: What a file of Protocol Buffers can hold.
MOST_BYTES = 2**31 - 1
#: Whose versions a file names.
VERSIONS = ("torch", "timm", "onnx", "onnxscript", "onnxruntime")


def to_onnx(scorer: Scorer, checkpoint: Path) -> ModelProto:
    """The model of a checkpoint as ONNX, for any number of squares at once, in float32.

    Args:
        scorer: of that checkpoint, on the CPU.

    Raises:
        IqaError: ONNX has no way to say what this network does.
        UserError: a network of 2 GB and more.
    """
    judge = SquareJudge(scorer.model, scorer.calibration, scorer.coverage)
    program = _captured(judge, scorer.views.side, scorer.config.model.backbone)
    model: ModelProto = program.model_proto
    if model.ByteSize() > MOST_BYTES:
        raise UserError("this model is too large for one ONNX file", got=f"{model.ByteSize()} bytes", expected="2 GB")
    model.producer_name, model.producer_version = "iqa", iqa.__version__
    model.doc_string = "Image quality of uint8 RGB squares; the metadata say how they are cut from a picture."
    onnx.helper.set_model_props(model, {METADATA: json.dumps(describe(scorer, checkpoint), allow_nan=False)})
    return model


def relabelled(model: ModelProto, weights: str) -> ModelProto:
    """`model`, whose metadata say that its weights are held as `weights`."""
    (held,) = (each for each in model.metadata_props if each.key == METADATA)
    held.value = json.dumps(json.loads(held.value) | {"weights": weights})
    return model


def describe(scorer: Scorer, checkpoint: Path) -> dict[str, Any]:
    """What an exported file says of itself, ready for JSON.

    config, epoch, score_name, views, calibration, intervals and usual are those of the checkpoint; coverage is that of
    the outputs low and high, passing the bytes that a square takes on its way.
    """
    content = load_checkpoint(checkpoint)
    return {
        "format": FORMAT,
        "config": scorer.config.to_dict(),
        "epoch": scorer.epoch,
        "score_name": scorer.score_name,
        "views": scorer.views.to_dict(),
        "calibration": content.get("calibration"),
        "intervals": content.get("intervals"),
        "usual": None if scorer.usual is None else scorer.usual.tolist(),
        "coverage": scorer.coverage,
        "passing": scorer.passing,
        "checkpoint": scorer.digest,
        "weights": "float32",
        "opset": OPSET,
        "versions": {"iqa": iqa.__version__, **{name: importlib.metadata.version(name) for name in VERSIONS}},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _captured(judge: SquareJudge, side: int, called: str) -> Any:
    """The program of ONNX that does what `judge` does."""
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(judge, (example,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
            return torch.onnx.export(
                said_in_onnx(traced),
                input_names=[INPUT],
                output_names=judge.names,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of any kind, from torch's tracing to a missing operator
        raise IqaError(
            f"ONNX cannot hold the backbone '{called}' with these settings",
            got=first_line(_root(error)),
            fix="serve it by `iqa serve`, or train one of resnet, efficientnet, convnext, vit or swin",
        ) from error


def _root(error: BaseException) -> BaseException:
    """What an error comes from; those that the exporters wrap it in say only in which step it was."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporters tell of their own progress and plans is no news to a user."""
    logger = logging.getLogger("torch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
