"""Files that are not what they seem: unreadable, misnamed, tiny, huge, grey or blank; and what is not taken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from iqa.data.audit.findings import Finding, of_names
from iqa.data.scored.tables import TABLES
from iqa.data.store.pictures import SUFFIXES

#: Sides below which little of a picture's quality is to be seen, and pixels above which decoding takes seconds.
TINY, HUGE = 64, 50 * 10**6
#: Spread of brightness, in grey levels, below which a picture is blank.
BLANK = 2.0


def file_findings(facts: pd.DataFrame) -> list[Finding]:
    """What is odd about the files of a set.

    Args:
        facts: see `facts.look_into`.
    """
    fine = facts[facts["fault"] == ""]
    broken = [f"{row.image} ({row.fault})" for row in facts[facts["fault"] != ""].itertuples()]
    other = fine[(fine["kind"] != "") & (fine["expected"] != "") & (fine["kind"] != fine["expected"])]
    misnamed = [f"{row.image} ({row.kind})" for row in other.itertuples()]
    short, pixels = fine[["width", "height"]].min(axis=1), fine["width"] * fine["height"]
    grey = fine["image"][~fine["colour"].astype(bool)].tolist()
    return [
        *of_names("files", "unreadable", "pictures cannot be read", broken),
        *of_names("files", "misnamed", "pictures are of another type than their name says", misnamed),
        *of_names("files", "tiny", f"pictures have a side below {TINY} pixels", fine["image"][short < TINY].tolist()),
        *of_names("files", "huge", f"pictures have over {HUGE:,} pixels", fine["image"][pixels > HUGE].tolist()),
        *of_names("files", "blank", "pictures are blank", fine["image"][fine["spread"] < BLANK].tolist()),
        # A set of grey pictures alone is one that is meant to be so.
        *of_names("files", "grey", "pictures have no colour, and others have", grey if len(grey) < len(fine) else []),
    ]


def not_taken(root: Path, taken: set[str]) -> list[Finding]:
    """Pictures below the folder of a set that its table does not name, and files that are neither.

    Args:
        taken: names of the set's pictures, relative to `root`, with / between folders.
    """
    pictures, others = [], Counter[str]()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if name.as_posix() in taken or not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        if path.suffix.lower() in TABLES:
            continue
        if path.suffix.lower() in SUFFIXES:
            pictures.append(name.as_posix())
        else:
            others[path.suffix.lower() or "no suffix"] += 1
    found = of_names("files", "unlisted", f"pictures in {root} are not in the table", pictures)
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        found.append(Finding("files", "no_pictures", f"files in {root} that are no pictures: {kinds}", others.total()))
    return found
