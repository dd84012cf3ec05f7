"""An experiment's folder: its config, checkpoints and history, each file whole at any instant."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from iqa.config import ExperimentConfig
from iqa.config.data import WITHOUT_INFLUENCE
from iqa.config.reading import build_config
from iqa.errors import IqaError, UserError, first_line
from iqa.files import (
    atomic_write,
    content_of,
    keep_aside,
    no_room,
    read_json,
    refuse_packed,
    remove_leftovers,
    write_json,
)

if TYPE_CHECKING:
    import pandas as pd

#: Layout of a checkpoint; a file of a layout that is not known is refused, not guessed at.
FORMAT = 2
#: In format 1 standardisation kept its statistics under other names than torch's batch normalisation does.
_STATISTICS = {"mean": "running_mean", "variance": "running_var", "batches": "num_batches_tracked"}
_OLD_STATISTIC = re.compile(r"(.*(?:standardise|standardise_likelihood|embedding\.0))\.(mean|variance|batches)")
BEST, LAST = "best_model.pth", "last_model.pth"

log = logging.getLogger(__name__)


class ExperimentFolder:
    """`experiments/<name>/` and the files in it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.best = self.path / BEST
        self.last = self.path / LAST
        self.history_file = self.path / "training_history.json"
        self.manifest_file = self.path / "manifest.csv"
        self.report_file = self.path / "data_report.json"
        self.visualizations = self.path / "visualizations"
        #: There while the experiment is tested, until all of it is told: what a kill leaves is tested again.
        self.testing = self.path / ".testing"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other trainings out of the folder for as long as the block lasts, however this process ends.

        Raises:
            UserError: another process trains in it.
            IqaError: nothing can be written beside it.
        """
        place, owner = (self.path.with_name(f".{self.path.name}.{end}") for end in ("lock", "owner"))
        lock = FileLock(place, timeout=0)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            owner.write_text(str(os.getpid()), encoding="utf-8")
        except Timeout:
            pid = owner.read_text(encoding="utf-8") if owner.is_file() else "unknown"
            raise UserError(
                f"another process trains in {self.path}",
                got=f"process {pid}",
                fix="wait for it, or train under another experiment_name",
            ) from None
        except OSError as error:
            if lock.is_locked:
                owner.unlink(missing_ok=True)
            lock.release()
            raise no_room(place, error) from error
        try:
            remove_leftovers(self.path)
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def claimed(self, worth_keeping: str = LAST) -> Iterator[None]:
        """Make the folder free for what the block does; an earlier experiment of this name becomes `<name>.1`, `.2`.

        A block that fails before it has written a file called `worth_keeping` takes away what it wrote, and the earlier
        experiment gets its name back.
        """
        aside = None
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            aside = keep_aside(self.path)
            log.warning("an earlier %s is kept as %s", self.path.name, aside)
        try:
            yield
        except BaseException:
            if not any(self.path.rglob(worth_keeping)):
                shutil.rmtree(self.path, ignore_errors=True)
                if aside is not None:
                    aside.rename(self.path)
                    log.warning("nothing came of it, so %s has its name back", self.path.name)
            raise

    def read_config(self) -> ExperimentConfig:
        """The config that the experiment was trained with.

        Raises:
            UserError: there is no experiment here.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"no experiment in {self.path}",
                expected="a folder with config.json and best_model.pth",
                fix=self._neighbours() or "train one first: mlflow run . -e train",
            )
        return build_config(as_it_was(read_json(self.config_file)), where=str(self.config_file))

    def was_begun_with(self, config: ExperimentConfig) -> bool:
        """Whether a training with these settings was killed here before it had saved anything."""
        # The first save ends with the history, and a best model that it has written by then is written again.
        if self.last.exists() or self.history_file.exists() or not self.config_file.is_file():
            return False
        try:
            return bool(read_json(self.config_file) == config.to_dict())
        except UserError:
            return False

    def write_config(self, config: ExperimentConfig) -> None:
        write_json(self.config_file, config.to_dict())

    def write_data(self, manifest: bytes, report: dict[str, Any]) -> None:
        """Which picture was in which split with which score, and which rows of a table could not be used."""
        atomic_write(self.manifest_file, lambda file: file.write(manifest))
        if report:
            write_json(self.report_file, report)

    def read_manifest(self) -> pd.DataFrame | None:
        """Every picture with its split and what it is known by; None where a checkpoint came without it."""
        # A second, which one who asks for no such experiment need not wait.
        from iqa.data.manifest import from_csv_with_digests

        if not self.manifest_file.is_file():
            return None
        with content_of(self.manifest_file, "the pictures that training wrote there", "train again"):
            return from_csv_with_digests(self.manifest_file)

    def write_history(self, history: list[dict[str, Any]], best_epoch: int | None) -> None:
        write_json(self.history_file, {"best_epoch": best_epoch, "epochs": history})

    def _neighbours(self) -> str | None:
        if not self.path.parent.is_dir():
            return None
        names = sorted(p.parent.name for p in self.path.parent.glob("*/config.json"))
        return f"experiments there: {', '.join(names[:8])}" if names else None


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values so that `torch.load(weights_only=True)` reads them."""
    atomic_write(path, lambda file: torch.save({"format": FORMAT, **content}, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, running none of its content.

    Raises:
        UserError: missing, damaged, or not written by this project.
    """
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.pth")) if path.parent.is_dir() else []
        raise UserError(
            f"checkpoint {path} does not exist",
            expected=f"one of {', '.join(beside)}" if beside else "an experiment that has been trained",
        )
    try:
        refuse_packed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Which one of a dozen unrelated types it is depends on where the file is damaged.
        raise UserError(
            f"checkpoint {path} cannot be read",
            got=first_line(error),
            expected="a file written by training",
            fix="use the other checkpoint of the experiment, or train again",
        ) from error
    layout = content.get("format") if isinstance(content, dict) else None
    if not isinstance(layout, int) or layout not in (1, FORMAT):
        raise UserError(f"{path} is not a checkpoint of this project", expected=f"format {FORMAT}, or 1")
    with checkpoint_parts(path):
        whole = _from_format_1(content) if layout == 1 else content
    return whole | {"config": as_it_was(whole["config"])} if "config" in whole else whole


def checkpoint_parts(path: Path) -> AbstractContextManager[None]:
    """Around where a checkpoint's content is taken apart: a UserError for parts that are missing or of another kind."""
    return content_of(path, "a file written by training", "use the other checkpoint of the experiment, or train again")


def as_it_was(config: Any) -> Any:
    """The config of an experiment, with what versions did that did not know a setting.

    Copies and series were not looked for: pictures were split one by one, and are so again.
    """
    if isinstance(config, dict) and isinstance(config.get("data"), dict):
        return config | {"data": {"groups": "none"} | config["data"]}
    return config


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of format 1 as one of format 2."""
    model, average = _renamed(content["model"]), content.get("average")
    changed = {"average": average | {"model": _renamed(average["model"])}} if average else {}
    return content | {"format": FORMAT, "model": model} | changed


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    found = {name: _OLD_STATISTIC.fullmatch(name) for name in state}
    return {
        f"{match[1]}.{_STATISTICS[match[2]]}" if (match := found[name]) else name: value
        for name, value in state.items()
    }


def checkpoint_bytes(model: torch.nn.Module) -> tuple[int, int]:
    """About what the best and the last checkpoint take; the last holds two moments of everything that learns."""
    whole = sum(each.nbytes for each in model.state_dict().values())
    moments = 2 * sum(each.nbytes for each in model.parameters() if each.requires_grad)
    return whole, whole + moments


def load_model_state(model: torch.nn.Module, state: dict[str, Any], path: Path) -> None:
    """Fill `model` with the checkpoint's state.

    Raises:
        UserError: the checkpoint is of another model.
    """
    try:
        model.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"checkpoint {path} is of another model than its config describes",
            got="; ".join(line.strip() for line in str(error).splitlines()[1:3])[:300] or first_line(error),
            fix="use the checkpoint that was trained with this config.json",
        ) from error


def check_same_experiment(ours: ExperimentConfig, theirs: dict[str, Any], path: Path) -> None:
    """A training is continued only with the settings it was begun with.

    Where it runs (device, tracking, threads) and what it is called may change, and its length too where the schedule
    does not depend on it.

    Raises:
        UserError: naming each setting that differs.
    """
    free = {"experiment_name", "training.device", "data.root", *WITHOUT_INFLUENCE}
    if ours.training.scheduler in ("reduce_on_plateau", "none"):
        free.add("training.epochs")
    before = build_config(theirs, where=str(path)).flat()
    different = [
        f"{key}: {before.get(key)!r} before, {value!r} now"
        for key, value in ours.flat().items()
        if before.get(key) != value and key not in free and not key.startswith(("tracking.", "tuning."))
    ]
    if different:
        raise UserError(
            f"{path} was trained with other settings, so it cannot be continued exactly",
            got="; ".join(different[:6]),
            fix="resume with the same settings, or train under another experiment_name",
        )


def require_epochs(folder: ExperimentFolder) -> None:
    """After training there must be a best model.

    Raises:
        IqaError: every epoch predicted one and the same score.
    """
    if not folder.best.is_file():
        raise IqaError(
            "no epoch predicted scores that differ, so there is no best model",
            fix="lower training.learning_rate, or train longer",
        )
