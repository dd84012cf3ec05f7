"""The audit of a set: everything is looked at once, and said once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.audit.facts import look_into
from iqa.data.audit.files import file_findings, not_taken, row_findings
from iqa.data.audit.findings import Finding, of_names
from iqa.data.audit.raters import ceiling_findings, ceilings, rater_facts, rater_findings, twin_pairs
from iqa.data.audit.scores import score_facts, score_findings
from iqa.data.audit.split import split_facts, split_findings
from iqa.data.audit.suspects import LEAST, Suspects, find_suspects, suspect_facts, suspect_findings
from iqa.data.audit.twins.copies import find_copies
from iqa.data.audit.twins.groups import group_by, linked, pairs_of
from iqa.data.audit.twins.links import Links, open_links
from iqa.data.audit.twins.looks import small_reader
from iqa.data.scored.load import ScoredSet, load_scored, unheard
from iqa.data.scored.ratings.rated import Ratings
from iqa.data.scored.ratings.screening import judge
from iqa.data.store.cache import cache_folder
from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError

if TYPE_CHECKING:
    from iqa.data.audit.sight import Sight

#: Bytes of a picture that is held while it is looked into, and pictures at once.
HELD, BUFFERED = 30 * 10**6, 64


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        found: the set.
        facts: of each picture, in the order of the set; see `facts.look_into`.
        groups: int64 [N], the same number for copies, variants and series.
        sections: figures by section, as JSON knows them.
        findings: what is odd, section by section.
        suspects: scores that pictures which look alike contradict; None where too few pictures tell.
    """

    found: ScoredSet
    facts: pd.DataFrame
    groups: np.ndarray
    sections: dict[str, Any]
    findings: list[Finding]
    suspects: Suspects | None = None

    @property
    def names(self) -> list[str]:
        return list(self.found.manifest["image"])

    @property
    def scores(self) -> np.ndarray:
        """float64 [N], on the scale that people scored on."""
        return own_scores(self.found)

    @property
    def several(self) -> list[list[int]]:
        """Rows of each group of more than one picture, the largest group first."""
        rows = pd.Series(range(len(self.groups))).groupby(self.groups).agg(list)
        return sorted((found for found in rows if len(found) > 1), key=lambda found: (-len(found), found))

    def to_dict(self) -> dict[str, Any]:
        """All but the pictures, as values that JSON knows."""
        names = self.names
        groups = [[names[row] for row in rows] for rows in self.several]
        return {**self.sections, "groups": groups, "findings": [finding.to_dict() for finding in self.findings]}


def settle(data: DataConfig) -> tuple[DataConfig, int]:
    """The settings that an audit reads a set with, all of it, whatever is wrong with it; and how many pictures it has.

    Where pictures are not where a table says, but in the one folder beside it that has some, that is taken. No
    picture is decoded.

    Raises:
        UserError: pictures without scores of people; a table or pictures that are not there.
    """
    if not data.scored:
        raise UserError(
            f"data.dataset '{data.dataset}' has no scores of people to audit",
            fix="iqa audit FOLDER or iqa audit TABLE.csv takes pictures that people scored",
        )
    everything = {"on_error": "skip", "train_samples": None, "val_samples": None, "test_samples": None}
    data = data.model_copy(update=everything)
    try:
        return data, _count(data)
    except UserError:
        beside = picture_folder(Path(data.root)) if data.dataset == "csv" and data.root else None
        if beside is None or data.image_root is not None:
            raise
        data = data.model_copy(update={"image_root": beside})
        return data, _count(data)


def picture_folder(root: Path) -> str | None:
    """The one folder in another that has pictures, where that other has none itself."""

    def has_pictures(folder: Path) -> bool:
        return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())

    folders = [path.name for path in sorted(root.expanduser().iterdir()) if path.is_dir() and has_pictures(path)]
    return folders[0] if len(folders) == 1 and not has_pictures(root) else None


def _count(data: DataConfig) -> int:
    with unheard():
        return len(load_scored(data, judged_whole=True, look=False).manifest)


def audit(data: DataConfig, *, progress: bool | None = None) -> Audit:
    """Look into every picture and score of a set.

    Args:
        data: as `settle` gives them.
        progress: True, a bar; None, a bar on a terminal and lines elsewhere; False, nothing.

    Raises:
        UserError: the table or its pictures are not there.
    """
    found = load_scored(data, judged_whole=True)
    table, root = found.manifest, found.image_root
    names = table["image"].tolist()
    small = small_reader(root) if root else found.read
    links = open_links(cache_folder(data.cache_dir), found.fingerprint, names, small, workers=data.num_workers)
    same = find_copies([root / name for name in names]) if root else np.arange(len(names))
    groups = group_by(names, same, links)
    sight = _sight(len(names))
    facts, features = look_into(names, found.read, root, sight, workers=data.num_workers, progress=progress)
    own = own_scores(found)
    suspects = None if features is None else find_suspects(features, own, _contents(table, groups))
    raters = _raters(data, found, progress)
    scores = score_facts(own, facts["sharpness"].to_numpy())
    scores |= ceilings(raters, own, twin_pairs(names, same, links, facts))
    split = table["split"].to_numpy(dtype=object)
    splits = split_facts(split, groups)
    sections = {
        "files": {"pictures": len(facts), "readable": int((facts["fault"] == "").sum()), **found.report.to_dict()},
        "copies": _linked_counts(same, links, groups),
        "split": splits,
        "scores": scores,
        **({"raters": raters} if raters else {}),
        "suspects": suspect_facts(suspects, names, own),
    }
    findings = [
        *file_findings(facts),
        *row_findings(found.report),
        *(not_taken(root, set(names)) if root else []),
        *_copy_findings(names, groups, same),
        *split_findings(names, split, groups, splits),
        *score_findings(scores, higher_is_better=found.scale.higher_is_better),
        *ceiling_findings(scores),
        *rater_findings(raters),
        *suspect_findings(suspects, names),
    ]
    return Audit(found, facts, groups, sections, findings, suspects)


def own_scores(found: ScoredSet) -> np.ndarray:
    """float64 [N], of a set's rows, on the scale that people scored on."""
    own: np.ndarray = found.scale.from_unit(found.manifest["score"].astype(np.float64)).to_numpy()
    return own


def _sight(count: int) -> Sight | None:
    """What pictures are looked at with for suspects, where there are enough of them."""
    if count < LEAST:
        return None
    from iqa.data.audit.sight import Sight  # torch takes seconds

    return Sight()


def _contents(table: pd.DataFrame, groups: np.ndarray) -> np.ndarray:
    """A number for each picture, the same for one group of the table and for copies and variants."""
    _, first, content = np.unique(table["content"].to_numpy(dtype=str), return_index=True, return_inverse=True)
    return linked(len(table), pairs_of(first[content]), pairs_of(groups))


def _raters(data: DataConfig, found: ScoredSet, progress: bool | None) -> dict[str, Any] | None:
    """Figures on single ratings, also on those of raters who are left out."""
    if found.ratings is None:
        return None
    every: Ratings | None = found.ratings
    if data.screen_raters:
        with unheard():
            every = load_scored(data.model_copy(update={"screen_raters": False}), judged_whole=True, look=False).ratings
    return rater_facts(found.ratings, judge(every or found.ratings), left_out=data.screen_raters, progress=progress)


def _linked_counts(same: np.ndarray, links: Links, groups: np.ndarray) -> dict[str, Any]:
    sizes = np.bincount(np.unique(groups, return_inverse=True)[1])
    several = partial(_members, len(groups))
    return {
        "same_bytes": several(pairs_of(same)),
        "variants": several(links.variants),
        "series": several(links.series),
        "together": int(sizes[sizes > 1].sum()),
        "groups": len(sizes),
        "largest": int(sizes.max()),
    }


def _members(count: int, pairs: np.ndarray) -> int:
    """How many pictures pairs link to others."""
    _, number, sizes = np.unique(linked(count, pairs), return_inverse=True, return_counts=True)
    return int((sizes[number] > 1).sum())


def _copy_findings(names: list[str], groups: np.ndarray, same: np.ndarray) -> list[Finding]:
    # Neither is ever one.
    copies = [names[row] for row in np.flatnonzero(np.isin(same, pairs_of(same)[:, 0]))]
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    alike = [names[row] for row in np.argsort(groups, kind="stable") if sizes[number[row]] > 1]
    same_file = "pictures are the same file under another name"
    said = f"of {len(names)} pictures are copies or variants of another: {len(sizes)} groups in all"
    return [
        *of_names("copies", "same_bytes", same_file, same_file, copies),
        *of_names("copies", "alike", said, said, alike),
    ]
