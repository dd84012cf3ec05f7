"""What MLflow has not taken yet, kept in an experiment's folder until it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from iqa.files import write_text
from iqa.tracking.sending.delivery import PENDING, Delivery


def read_pending(directory: Path) -> list[Delivery]:
    """What waits in a folder, in its order."""
    file = directory / PENDING
    if not file.is_file():
        return []
    deliveries = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            deliveries.append(json.loads(line))
        except ValueError:
            continue  # a line cut short by a crash
    return deliveries


def write_pending(directory: Path, deliveries: Sequence[Delivery]) -> None:
    """Keep these, and no others.

    Raises:
        OSError, IqaError: they cannot be written.
    """
    if deliveries:
        write_text(directory / PENDING, "".join(json.dumps(each) + "\n" for each in deliveries))
    else:
        (directory / PENDING).unlink(missing_ok=True)


def relative_path(path: Path, directory: Path | None) -> str:
    """`path` relative to the experiment folder if it lies inside, so that a moved folder still delivers."""
    path = Path(path).resolve()
    if directory and path.is_relative_to(Path(directory).resolve()):
        return str(path.relative_to(Path(directory).resolve()))
    return str(path)
