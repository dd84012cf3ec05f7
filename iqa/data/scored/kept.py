"""What a user's own table came to, kept in the cache: it is not worked out again while nothing has changed.

Neither the table, by its bytes, nor any picture that it names, by size and time of the last change. Of a quarter of a
million pictures that takes a second, where reading the table, finding each file and looking for copies take half a
minute. Only what went smoothly is kept: each name is that of its file, and there is nothing to be said of faults.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iqa import __version__
from iqa.config.data import DataConfig
from iqa.data.audit.twins.links import VERSION as LINKS
from iqa.data.manifest import COLUMNS, SPLITS, TYPES, ScoreScale, digest, typed
from iqa.data.scored.columns import beside_root
from iqa.data.scored.joins import JoinReport
from iqa.data.scored.rawset import RawSet
from iqa.data.store.cache import cache_folder, recipe_key
from iqa.errors import IqaError
from iqa.files import MISSHAPEN, atomic_write

#: Goes up when the same table would give another set, or is kept in another layout.
VERSION = 1
#: Settings that say nothing of which pictures there are, and how they are split and scored.
OF_PIXELS = {"num_workers", "cache_dir", "store", "licence", "batch_size", "image_size", "picture_size", "resize",
             "crops"}  # fmt: skip
#: Columns of a manifest that hold text.
TEXTS = tuple(column for column in COLUMNS if column not in TYPES)


@dataclass(frozen=True)
class Place:
    """Where the outcome of a table is kept.

    Attributes:
        file: in the cache.
        table: whose outcome it is.
        content: SHA-256 (hex) of the table.
        root: the folder of its pictures.
    """

    file: Path
    table: Path
    content: str
    root: Path


@dataclass(frozen=True)
class Kept:
    """What a table came to; see `iqa.data.scored.load.ScoredSet`.

    Attributes:
        digest: of the manifest in the order of its pictures' names.
        notes: what the user is told.
    """

    manifest: pd.DataFrame
    scale: ScoreScale
    report: JoinReport
    fingerprint: str
    digest: str
    notes: str


def place_of(data: DataConfig, *, judged_whole: bool) -> Place | None:
    """Where the outcome of these settings is kept; None where it is of no table with one score a picture."""
    if data.dataset != "csv" or data.ratings or data.groups not in ("auto", "none"):
        return None
    table = beside_root(data, data.csv or "")
    root = table.parent if data.image_root is None else beside_root(data, data.image_root)
    try:
        content = hashlib.sha256(table.read_bytes()).hexdigest()
    except OSError:  # whoever reads it says so
        return None
    settings = data.model_dump(mode="json", exclude=OF_PIXELS)
    recipe = {
        "settings": settings,
        "direction_given": "score_direction" in data.model_fields_set,
        "judged_whole": judged_whole,
        "places": [os.path.realpath(table), os.path.realpath(root)],
        "versions": [VERSION, LINKS, __version__],
    }
    return Place(cache_folder(data.cache_dir) / f"table-{recipe_key(recipe)}.npz", table, content, root)


def recall(place: Place) -> Kept | None:
    """What is kept, if it is whole and neither the table nor a picture has changed; else None."""
    try:
        with np.load(place.file, allow_pickle=False) as file:
            facts = {name: str(file[name]) for name in ("table", "fingerprint", "digest", "notes")}
            files = _texts(file["files"])
            root = f"{place.root}/"
            unchanged = np.array_equal(stamps_of(root + each for each in files), file["stamps"])
            if facts["table"] != place.content or not unchanged:
                return None
            columns = {column: file[column] for column in COLUMNS}
            manifest = typed(
                pd.DataFrame({name: _texts(each) if name in TEXTS else each for name, each in columns.items()})
            )
            low, high, upwards = file["scale"].tolist()
            report = JoinReport(
                int(file["rows"]), int(file["duplicates"]), where=place.table.name, taken=file["taken"].tolist()
            )
    except (*MISSHAPEN, zipfile.BadZipFile):
        return None
    scale = ScoreScale(low, high, bool(upwards))
    return Kept(manifest, scale, report, facts["fingerprint"], facts["digest"], facts["notes"])


def keep(place: Place, found: Kept, files: Sequence[str], stamps: np.ndarray) -> None:
    """Keep an outcome for the next time; where nothing can be written nothing is.

    Args:
        files: of all rows that can be used, below the place's root.
        stamps: of these, as they were when they were looked at.
    """
    columns: dict[str, Any] = {
        column: _packed(found.manifest[column]) if column in TEXTS else found.manifest[column].to_numpy()
        for column in COLUMNS
    }
    report = {"rows": found.report.rows, "duplicates": found.report.duplicates, "taken": np.array(found.report.taken)}
    facts = {"table": place.content, "fingerprint": found.fingerprint, "digest": found.digest, "notes": found.notes}
    scale = [found.scale.low, found.scale.high, found.scale.higher_is_better]
    arrays = {**columns, **report, **facts, "scale": np.array(scale), "files": _packed(files), "stamps": stamps}
    with suppress(IqaError):
        atomic_write(place.file, lambda file: np.savez(file, **arrays))


def went_smoothly(raw: RawSet, report: JoinReport, files: Sequence[str], data: DataConfig) -> bool:
    """Whether whoever opens the table again would find the same by looking at its named files alone, and say no more.

    A name that is not quite its file's may mean another file once that is there.
    """
    named = {*raw.table["split"]}
    as_written = raw.table["image"].iloc[report.taken].tolist() == list(files)
    told_of_direction = "dmos" in raw.said.casefold() and "score_direction" not in data.model_fields_set
    told_of_split = len(named) > 1 and not named >= set(SPLITS)
    plain = not any("\0" in text for column in ("image", "group", "subset") for text in raw.table[column])
    return as_written and plain and not (report.faults or told_of_direction or told_of_split)


def sorted_digest(manifest: pd.DataFrame) -> str:
    """The digest of a manifest in the order of its pictures' names."""
    return digest(manifest.sort_values("image", ignore_index=True))


def stamps_of(files: Iterable[str]) -> np.ndarray:
    """Size in bytes and time of the last change, in nanoseconds, of files: int64 [N, 2].

    Raises:
        OSError: one is not there.
    """
    # No pair of numbers for each: hundreds of thousands would keep Python's collector of garbage busy.
    facts = (fact for file in files for status in [os.stat(file)] for fact in (status.st_size, status.st_mtime_ns))
    return np.fromiter(facts, dtype=np.int64).reshape(-1, 2)


def _packed(texts: Iterable[str]) -> np.ndarray:
    """Texts without zeros in them as uint8: numpy would give each the room of the longest."""
    return np.frombuffer("\0".join(texts).encode(), dtype=np.uint8)


def _texts(packed: np.ndarray) -> list[str]:
    return packed.tobytes().decode().split("\0")
