"""`iqa.export`: a trained model as a file that scores without torch, proven on real pictures before it is there."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from iqa.deploy.export.examples import find_examples
from iqa.deploy.export.proof import Agreement, compare, refuse_disagreement
from iqa.errors import UserError, first_line
from iqa.files import no_room, write_json
from iqa.scoring.ensemble import read_members
from iqa.scoring.onnx_scorer import SUFFIX, OnnxScorer
from iqa.scoring.scale import COVERAGE
from iqa.scoring.scorer import Scorer
from iqa.tracking import read_run_note
from iqa.tracking.models.fetching import SCHEMES, fetched_checkpoint
from iqa.tracking.store import connect, good_manners, reachable, tracking_uri
from iqa.training.checkpoints import BEST

#: Of the report that lies beside a file, after that file's name; and where MLflow keeps it.
REPORT, ARTIFACTS = ".report.json", "export"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        file: it.
        report: what the file beside it holds: which pictures were checked and how far both ways agree, what the file
            was made with, and its size.
    """

    file: Path
    report: dict[str, Any]

    @property
    def report_file(self) -> Path:
        """Where the report lies."""
        return self.file.with_name(self.file.name + REPORT)


def export(
    model: str | Path,
    out: str | Path = "",
    *,
    format: Literal["onnx"] = "onnx",
    quantise: bool = False,
    pictures: str | Path = "",
    coverage: float = COVERAGE,
    begins: Callable[[Scorer, Path], None] | None = None,
) -> Exported:
    """Write a trained model as one file that scores without torch; `iqa.load` and `iqa.score` take it for a model.

    Real pictures are scored both ways first. A file that differs by more than rounding explains is not left.

    Args:
        model: an experiment folder (its best model), a checkpoint, or a model in MLflow, as `iqa.load` takes it.
        out: the file; if none is given, beside the checkpoint.
        format: "onnx", the one that there is.
        quantise: hold weights in 8 bits: about a third of the size.
        pictures: a folder of pictures to check with; if none is given, test pictures of the experiment.
        coverage: share of pictures that the outputs low and high of the graph hold for.
        begins: is told the model and the file before the work is done.

    Raises:
        UserError: no such model, an ensemble, no pictures, or packages are missing.
        IqaError: ONNX cannot hold the model, or the file does not score as the checkpoint does.
    """
    if format != "onnx":
        raise UserError("unknown format of export", got=format, expected="onnx")
    _require_onnx()
    with _checkpoint_of(model) as checkpoint:
        scorer = Scorer(checkpoint, "cpu", coverage)
        # Half of a bfloat16's digits would differ by themselves.
        scorer.precision = torch.float32
        target = Path(out) if out else _usual_place(model, checkpoint, scorer, quantise=quantise)
        if target.suffix != SUFFIX:
            raise UserError("the file is not named as exported models are", got=target, expected=f"a name in {SUFFIX}")
        if begins is not None:
            begins(scorer, target)
        done = Exported(target, _write(scorer, checkpoint, target, str(model), pictures, quantise=quantise))
    write_json(done.report_file, done.report)
    _log_report(model, scorer, done)
    return done


def _write(
    scorer: Scorer, checkpoint: Path, target: Path, called: str, pictures: str | Path, *, quantise: bool
) -> dict[str, Any]:
    """Write the file, prove it, and only then put it in its place; returns the report."""
    # Imported late: these need the packages of the extra.
    from iqa.deploy.export.quantise import with_int8_weights
    from iqa.deploy.export.write import relabelled, to_onnx

    examples = find_examples(scorer.config.data, scorer.views.side, pictures)
    graph = to_onnx(scorer, checkpoint)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
            candidate, found = Path(folder, target.name), {}
            for weights in ("float32", "int8") if quantise else ("float32",):
                if weights == "int8":
                    graph = relabelled(with_int8_weights(graph), weights)
                candidate.write_bytes(graph.SerializeToString())
                file = OnnxScorer(candidate, "cpu", scorer.coverage)
                found[weights] = compare(scorer, file, examples)
                refuse_disagreement(found[weights], weights)
            os.replace(candidate, target)
    except OSError as error:
        raise no_room(target, error) from error
    return _report(target, called, checkpoint, examples.source, file, found)


def _report(
    target: Path, called: str, checkpoint: Path, source: str, file: OnnxScorer, found: dict[str, Agreement]
) -> dict[str, Any]:
    """What is said of a file that was written, ready for JSON."""
    weights = file.metadata["weights"]
    known = {key: file.metadata[key] for key in ("weights", "opset", "versions", "made", "checkpoint")}
    report = {
        "file": target.name,
        "sha256": file.digest,
        "bytes": target.stat().st_size,
        "bytes_of_checkpoint": checkpoint.stat().st_size,
        "model": called,
        **known,
        "checked_with": source,
        **found[weights].to_dict(),
    }
    return report | ({"float32": found["float32"].to_dict()} if weights != "float32" else {})


def _usual_place(model: str | Path, checkpoint: Path, scorer: Scorer, *, quantise: bool) -> Path:
    """Beside the checkpoint; of a model in MLflow, here, by the name of its experiment."""
    ending = f"_int8{SUFFIX}" if quantise else SUFFIX
    if str(model).startswith(SCHEMES):
        return Path(f"{scorer.config.experiment_name}{ending}")
    return checkpoint.with_name(f"{checkpoint.stem}{ending}")


@contextmanager
def _checkpoint_of(model: str | Path) -> Iterator[Path]:
    """The checkpoint of a model, for as long as the block lasts.

    Raises:
        UserError: an ensemble, or there is no such model.
    """
    if str(model).startswith(SCHEMES):
        with fetched_checkpoint(str(model)) as checkpoint:
            yield checkpoint
        return
    folder = Path(model)
    if read_members(folder) is not None:
        raise UserError(
            f"{folder} is an ensemble, which is no single network",
            expected="an experiment, a checkpoint or a model in MLflow",
            fix="export each of its members, and take the mean of what they say",
        )
    yield folder / BEST if folder.is_dir() else folder


def _require_onnx() -> None:
    """Refuse to begin what would fail in the end.

    Raises:
        UserError: a package of the extra is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"export needs {error.name}, which is not installed", fix='pip install "iqa[onnx]"') from error


def _log_report(model: str | Path, scorer: Scorer, done: Exported) -> None:
    """Bring the report to the run of the experiment, where it has one and MLflow answers."""
    folder = Path(model) if Path(model).is_dir() else Path(model).parent
    note = {} if str(model).startswith(SCHEMES) else read_run_note(folder)
    if not note or not scorer.config.tracking.enabled:
        return
    with good_manners():
        address = tracking_uri(scorer.config.tracking.uri, note.get("tracking_uri"))
        try:
            if reachable(address):
                connect(address).log_artifact(note["run_id"], str(done.report_file), ARTIFACTS)
        except Exception as error:  # of any store; the report lies beside the file all the same
            log.warning("MLflow did not take the report: %s", first_line(error))
