"""Pictures that people scored: from any table, a published set or the hub to a manifest and a way to read them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from PIL import Image

from iqa.config.data import DataConfig, Preset
from iqa.data.audit.twins.copies import find_copies, join_contents
from iqa.data.audit.twins.groups import group_by, groups_from_file, linked, pairs_of
from iqa.data.audit.twins.links import known_links, open_links
from iqa.data.audit.twins.looks import small_reader
from iqa.data.audit.twins.told import NOT_LOOKED, TOO_FEW, twins_told
from iqa.data.manifest import SPLITS, ScoreScale, typed, validate
from iqa.data.scored.columns import raw_from_table
from iqa.data.scored.hub import HubSet, open_huggingface
from iqa.data.scored.joins import JoinReport, join
from iqa.data.scored.kept import Kept, Place, keep, place_of, recall, sorted_digest, stamps_of, went_smoothly
from iqa.data.scored.ratings.rated import Ratings
from iqa.data.scored.ratings.reading import raw_from_ratings
from iqa.data.scored.rawset import RawSet
from iqa.data.splits import complete_split, contents, refuse_few, refuse_partial_groups, refuse_useless
from iqa.data.store.cache import cache_folder
from iqa.data.store.pictures import read_rgb
from iqa.errors import UserError

log = logging.getLogger(__name__)

#: What was told of which source.
_told: set[tuple[str, object]] = set()

#: Fewer groups than these in validation or test are worth a word.
FEW_GROUPS = 5
#: So many contents are tried for a split that is drawn and whose pictures are all scored alike.
MORE_CONTENTS = (2, 3, 4)


@dataclass(frozen=True)
class ScoredSet:
    """A set of pictures with scores, ready to be cut and trained on.

    Attributes:
        manifest: `iqa.data.manifest.COLUMNS`; `image` is relative to the image root with / between folders,
            as on disk; `score` in [0, 1], higher is better; `content` the group, or the picture itself.
        scale: leads `score` back to the scale that people scored on.
        report: rows of the table that could not be used; decoding may add to it.
        fingerprint: text that changes with the tables' bytes and any picture's name, size or time.
        read: decodes a picture by its name in the manifest, as RGB in its own size; for several threads at once.
            ValueError where it cannot be decoded.
        image_root: the folder of the pictures; None where they lie inside the files of a data set.
        ratings: the single ratings of each row of the manifest; None where the table has one score a picture.
        digest: of the manifest in the order of its pictures' names, where it is known.
    """

    manifest: pd.DataFrame
    scale: ScoreScale
    report: JoinReport
    fingerprint: str
    read: Callable[[str], Image.Image]
    image_root: Path | None = None
    ratings: Ratings | None = None
    digest: str | None = None


def load_scored(data: DataConfig, *, judged_whole: bool = False, look: bool = True) -> ScoredSet:
    """The scored set that the settings name.

    Where it names no groups, its pictures are looked at for copies, variants and series (`data.groups`): each is
    decoded once, small, and the cache keeps what is found. Otherwise none is decoded. What a table came to is kept as
    well, and worked out again where the table or a picture has changed (`iqa.data.scored.kept`).

    Says in one line what was taken for what in a user's own table, how it is split, and which pictures are copies.

    Args:
        judged_whole: no split will be chosen or tested on, so that it may be of any kind.
        look: False: decode nothing, and split as if no pictures were alike where the cache does not know it.

    Raises:
        UserError: a table, folder or column is not there; rows cannot be used and `data.on_error` is "fail";
            the scores do not differ; the set cannot be split, or not so that validation and test tell anything.
    """
    place = place_of(data, judged_whole=judged_whole)
    kept = recall(place) if place else None
    if place is None or kept is None:
        return _worked_out(data, place, judged_whole=judged_whole, look=look)
    _say(kept.notes, (place.table,))
    read = _Reader(place.root, kept.manifest["image"], None)
    return ScoredSet(kept.manifest, kept.scale, kept.report, kept.fingerprint, read, place.root, digest=kept.digest)


def _worked_out(data: DataConfig, place: Place | None, *, judged_whole: bool, look: bool) -> ScoredSet:
    """The set by its table and its files; kept at a place where there is one and nothing is left to be said."""
    raw, mark, inside = _open(data)
    read = inside.read if inside else None
    table, report = join(raw, data.on_error, on_disk=read is None)
    if table["score"].nunique() < 2:
        raise UserError(
            "all usable pictures have one and the same score",
            got=table["score"].iloc[0],
            expected="scores that differ: there is nothing to learn from one",
            fix="set data.columns.score to the column that holds the scores",
        )
    table["group"] = _one_spelling(table["group"])
    names = table["image"].tolist()
    files = [f"{raw.image_root}/{name}" for name in names] if read is None else []
    stamps = stamps_of(files)
    named = set(table["split"])
    grouped = bool((table["group"] != "").any())
    refuse_partial_groups(table, report.where or "the set")
    same = inside.copies(names) if inside and inside.copies else find_copies(files)
    fingerprint = _fingerprint(mark, raw.files, names, stamps)
    table, copied = join_contents(table, same)
    if not judged_whole:
        _refuse_early(table, named)
    small = read or small_reader(raw.image_root)
    group, twins = _groups(data, names, same, fingerprint, small, look=look, grouped=grouped)
    if group is not None:
        table, _ = join_contents(table.assign(group=""), group)
    if not judged_whole:
        refuse_few(table)
    table["split"] = _split(table, data)
    if group is not None and not twins and (group != same).any():
        twins = twins_told(names, group, table["split"].to_numpy(), drawn=len(named) < 2)
    kept = table[_within_bounds(table, data)]
    told = [raw.said, *_splits_told(kept, named, grouped=grouped)] if raw.said else []
    _say(notes := "; ".join(filter(None, (*told, report.said, copied, twins))), raw.files or raw.image_root)
    if not judged_whole:
        refuse_useless(kept["split"].to_numpy(), kept["score"].to_numpy())
    manifest = _manifest(kept, raw.scale)
    reader = _Reader(raw.image_root, manifest["image"], read)
    if place and look and went_smoothly(raw, report, names, data):
        keep(place, Kept(manifest, raw.scale, report, fingerprint, sorted_digest(manifest), notes), names, stamps)
    ratings = raw.ratings.of_pictures(np.array(report.taken)[kept.index]) if raw.ratings else None
    return ScoredSet(manifest, raw.scale, report, fingerprint, reader, None if read else raw.image_root, ratings)


@contextmanager
def unheard() -> Iterator[None]:
    """What there is to be said of a table is said when it is read to be used."""
    told = logging.getLogger("iqa.data.scored")
    before = told.level
    told.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.setLevel(before)


def _open(data: DataConfig) -> tuple[RawSet, str, HubSet | None]:
    """The set as its table tells it, text that stands for where it comes from, and who reads it if it is no files."""
    if data.dataset == "csv":
        return raw_from_ratings(data) if data.ratings else raw_from_table(data), "csv", None
    if data.dataset == "huggingface":
        found = open_huggingface(data)
        return found.raw, found.fingerprint, found if found.read else None
    if data.dataset in get_args(Preset):
        from iqa.data.scored.presets import read_preset

        return read_preset(data), data.dataset, None
    raise UserError(f"data.dataset '{data.dataset}' has no scores of people")


def _groups(
    data: DataConfig,
    names: list[str],
    same: np.ndarray,
    fingerprint: str,
    read: Callable[[str], Image.Image],
    *,
    look: bool,
    grouped: bool,
) -> tuple[np.ndarray | None, str]:
    """A number for each picture, the same for those that belong together, None: as the set says; and a word on it."""
    if data.groups not in ("auto", "none"):
        told = groups_from_file(Path(data.groups).expanduser(), names)
        found = linked(len(names), pairs_of(same), pairs_of(told))
        return found, f"{len(np.unique(found))} groups of {data.groups}"
    if grouped:
        return None, ""
    if data.groups == "none":
        return None, NOT_LOOKED
    root = cache_folder(data.cache_dir)
    if not look:
        links = known_links(root, fingerprint, names)
    else:
        links = open_links(root, fingerprint, names, read, workers=data.num_workers)
    if links is None:
        return None, ""
    found = group_by(names, same, links)
    count = len(np.unique(found))
    return (found, "") if count >= len(SPLITS) else (None, TOO_FEW.format(count))


def _say(notes: str, source: object) -> None:
    """Tell the user, once in a process for a source: trainings that are repeated open their set again and again."""
    if notes and log.isEnabledFor(logging.WARNING) and (notes, source) not in _told:
        _told.add((notes, source))
        log.warning("%s", notes)


def _refuse_early(table: pd.DataFrame, named: set[str]) -> None:
    """What no look at the pictures could make a split that tells something, before they are looked at."""
    if named >= set(SPLITS):
        refuse_useless(table["split"].to_numpy(), table["score"].to_numpy())
    else:
        refuse_few(table)


def _split(table: pd.DataFrame, data: DataConfig) -> np.ndarray:
    """The split of each row; one that would be drawn of one content, or of scores that are all alike, gets more."""
    scores, content = table["score"].to_numpy(), contents(table)
    split = complete_split(table, data.split_shares, data.split_seed)
    for least in MORE_CONTENTS:
        several = [split == name for name in ("val", "test") if (split == name).sum() > 1]
        if all(len(np.unique(scores[rows])) > 1 and len(set(content[rows])) > 1 for rows in several):
            break
        split = complete_split(table, data.split_shares, data.split_seed, least)
    return split


def _splits_told(table: pd.DataFrame, named: set[str], *, grouped: bool) -> list[str]:
    """How many groups and pictures each split has, in words, and whether that is little."""
    counts = ", ".join(f"{(table['split'] == split).sum()} {split}" for split in SPLITS)
    origin = "as the set names them" if named >= set(SPLITS) else "drawn" if len(named) < 2 else "partly drawn"
    said = [f"{counts} ({origin})"]
    if grouped:
        content = pd.Series(contents(table))
        groups = content.groupby(table["split"].to_numpy()).nunique()
        said.insert(0, f"{content.nunique()} groups, {groups.get('test', 0)} of them in test")
        few = [split for split in ("val", "test") if groups.get(split, 0) < FEW_GROUPS]
        if few:
            said.append(
                f"FEW GROUPS in {' and '.join(few)}: figures there tell little of other contents; set "
                "data.columns.group to '' if the pictures of a group are not alike"
            )
    return said


class _Reader:
    """Decodes pictures of a manifest, and no others."""

    def __init__(self, root: Path, names: Iterable[str], read: Callable[[str], Image.Image] | None) -> None:
        self._root, self._names, self._read = root, frozenset(names), read

    def __call__(self, name: str) -> Image.Image:
        if name not in self._names:
            raise ValueError("not in the manifest")
        return self._read(name) if self._read else read_rgb(self._root / name)


def _one_spelling(groups: pd.Series) -> pd.Series:
    """Groups that differ only in case, as one: "I01.BMP" and "i01.bmp" are one reference."""
    # Not the first one: what is drawn by group is not to depend on the order of the rows.
    return groups.groupby(groups.str.casefold()).transform("min")


def _within_bounds(table: pd.DataFrame, data: DataConfig) -> np.ndarray:
    """Which rows to keep: in each split a seeded choice of as many pictures as are wanted.

    A choice does not depend on the order of the rows, and a larger one holds the smaller.
    """
    keep = np.zeros(len(table), dtype=bool)
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(table["split"] == split)
        rows = rows[np.argsort(table["image"].to_numpy(dtype=str)[rows])]
        order = np.random.default_rng([data.split_seed, 21, number]).permutation(len(rows))
        keep[rows[order[: data.samples(split)]]] = True
    return keep


def _manifest(table: pd.DataFrame, scale: ScoreScale) -> pd.DataFrame:
    manifest = table.assign(
        content=contents(table),
        # A score may lie beyond the scale by a rounding error.
        score=scale.to_unit(table["score"]).clip(0, 1),
        seed=0,
    )
    manifest = typed(manifest.reset_index(drop=True))
    validate(manifest)
    return manifest


def _fingerprint(mark: str, tables: Iterable[Path], names: Iterable[str], stamps: np.ndarray) -> str:
    digest = hashlib.sha256()
    for path in tables:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    # Not how they are split: every split reads the same squares.
    digest.update("\n".join(names).encode())
    digest.update("".join(f"{size} {time}\n" for size, time in stamps.tolist()).encode())
    return f"{mark}:{digest.hexdigest()}"
