"""A model that `iqa export` wrote, ready to score by ONNX Runtime: torch need not be installed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from iqa.config.reading import build_config
from iqa.conformal import check_coverage
from iqa.data.store.views import ViewPolicy
from iqa.errors import IqaError, UserError, first_line
from iqa.files import content_of
from iqa.processes import cores
from iqa.scoring.base import PictureScorer
from iqa.scoring.scale import COVERAGE, Calibration

#: How the files of exported models end.
SUFFIX = ".onnx"
#: The key of the metadata under which a file holds, as JSON, all that the graph does not; and the layout of that.
METADATA, FORMAT = "iqa", 1
#: Names in the graph: what goes in, uint8 [n, side, side, 3]; what is read of what comes out, [n] each or [n, K].
INPUT = "squares"
SCORE, SPREAD, LOG_LIKELIHOOD, RESPONSIBILITIES = "score", "spread", "log_likelihood", "responsibilities"
DISTANCE = "distance"
#: What is computed by, best first: the names of ONNX Runtime, and of this project.
PROVIDERS = {"CUDAExecutionProvider": "cuda", "CPUExecutionProvider": "cpu"}

#: What a pickle leaves out.
_OPEN = ("_session", "_of_parent", "_opened_by")


class OnnxScorer(PictureScorer):
    """An exported model, ready to score; it can be pickled, and used in a forked child.

    Args:
        path: a file that `iqa export` wrote.
        device: "auto" (a GPU where ONNX Runtime has one, else the CPU), "cpu", "cuda" or "cuda:1".
        coverage: share of pictures that the ends of intervals are to hold for.

    Attributes:
        path: the file, which is to stay there.
        metadata: what the file says of itself: see `iqa.deploy.export.write`.

    Raises:
        UserError: no such file, a damaged one, one that was not written by this project, or ONNX Runtime or the device
            is missing.
    """

    def __init__(self, path: Path, device: str = "auto", coverage: float = COVERAGE) -> None:
        self.coverage = check_coverage(coverage)
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path} does not exist", expected="a file that `iqa export` wrote")
        self.device = _choose_device(device)
        self._open()
        self.metadata = _metadata(self._session.get_modelmeta().custom_metadata_map, self.path)
        with self.path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        with content_of(self.path, "a file that `iqa export` wrote", "export it again"):
            self.config = build_config(self.metadata["config"], where=str(path))
            self.epoch = self.metadata["epoch"]
            self.score_name = self.metadata["score_name"]
            self.views = ViewPolicy.from_dict(self.metadata["views"])
            known = self.metadata["calibration"]
            self.calibration = Calibration.from_dict(known, self.metadata["intervals"]) if known else None
            self.usual = None if self.metadata["usual"] is None else np.array(self.metadata["usual"], dtype=np.float64)

    @property
    def passing(self) -> int:
        """Bytes that a square takes at most while it passes through the network."""
        return int(self.metadata["passing"])

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without the open file."""
        return {name: value for name, value in self.__dict__.items() if name not in _OPEN}

    def _predict(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        if self.__dict__.get("_opened_by") != os.getpid():
            # A forked child has none of its parent's threads, which the session would wait for, at its end as well.
            self._of_parent = self.__dict__.get("_session")
            self._open()
        mixture, distance = bool(self.config.model.n_clusters), self.usual is not None
        wanted = [SCORE, SPREAD, *[LOG_LIKELIHOOD, RESPONSIBILITIES] * mixture, *[DISTANCE] * distance]
        try:
            said = dict(zip(wanted, self._session.run(wanted, {INPUT: np.stack(squares)}), strict=True))
        except Exception as error:  # of kinds that its compiled part makes
            raise IqaError(
                f"{self.path} failed on {len(squares)} squares",
                got=first_line(error),
                fix="lower batch_size if memory is short",
            ) from error
        unknown = np.full_like(said[SCORE], np.nan)
        figures = [said[SCORE], said[SPREAD], *(said.get(name, unknown) for name in (LOG_LIKELIHOOD, DISTANCE))]
        return np.column_stack([*figures, *([said[RESPONSIBILITIES]] if mixture else [])])

    def _open(self) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = cores()
        # Its warnings are about how it runs a graph, which no user can change.
        options.log_severity_level = 3
        # Weights in 8 bits are made floats once, as the file is opened, and not for every batch.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        name, _, number = str(self.device).partition(":")
        wanted: list[Any] = [(each, {"device_id": int(number or 0)}) for each in PROVIDERS if PROVIDERS[each] == name]
        # What a GPU has no kernel for runs on the CPU.
        wanted = [*wanted, "CPUExecutionProvider"] if name != "cpu" else ["CPUExecutionProvider"]
        try:
            self._session = runtime.InferenceSession(str(self.path), options, providers=wanted)
        except Exception as error:  # of kinds that its compiled part makes
            raise UserError(
                f"{self.path} cannot be read",
                got=first_line(error),
                expected="a file that `iqa export` wrote, whole",
                fix="export it again",
            ) from error
        self._opened_by = os.getpid()


def _runtime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "an exported model needs ONNX Runtime, which is not installed", fix='pip install "iqa[onnx]"'
        ) from error
    return onnxruntime  # type: ignore[no-any-return]


def _choose_device(name: str) -> str:
    """The device called `name` in this project's words.

    Raises:
        UserError: ONNX Runtime has none of this kind here.
    """
    here = [PROVIDERS[each] for each in PROVIDERS if each in _runtime().get_available_providers()]
    if name == "auto":
        return here[0]
    if name.partition(":")[0] not in here:
        raise UserError(
            f"ONNX Runtime cannot use the device {name}",
            got=f"{', '.join(here)} here",
            fix="--device auto; a GPU needs the package onnxruntime-gpu in place of onnxruntime",
        )
    return name


def _metadata(held: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What a file says of itself.

    Raises:
        UserError: nothing that this project wrote, or in a layout that this version does not know.
    """
    try:
        found = json.loads(held[METADATA])
        known = found["format"] == FORMAT
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no model of this project",
            got="no metadata that tell how pictures are cut and scores calibrated",
            expected="a file that `iqa export` wrote",
        ) from error
    if not known:
        raise UserError(
            f"{path} was written by another version of this project",
            got=f"layout {found['format']}",
            expected=f"layout {FORMAT}",
            fix="export the model again with this version, or score it with the one that wrote it",
        )
    return dict(found)
