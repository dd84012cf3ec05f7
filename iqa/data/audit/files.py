"""Files that are not what they seem: unreadable, misnamed, tiny, huge, grey or blank; and what is not taken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from iqa.data.audit.findings import Finding, of_count, of_names
from iqa.data.scored.joins import UNREADABLE, JoinReport
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
    # A set of grey pictures alone is one that is meant to be so.
    grey = grey if len(grey) < len(fine) else []
    tiny, huge = fine["image"][short < TINY].tolist(), fine["image"][pixels > HUGE].tolist()
    blank = fine["image"][fine["spread"] < BLANK].tolist()
    each = (
        ("unreadable", "picture cannot be read", "pictures cannot be read", broken),
        ("misnamed", "picture is of another type than its name says",
         "pictures are of another type than their names say", misnamed),
        ("tiny", f"picture has a side below {TINY} pixels", f"pictures have a side below {TINY} pixels", tiny),
        ("huge", f"picture has over {HUGE:,} pixels", f"pictures have over {HUGE:,} pixels", huge),
        ("blank", "picture is blank", "pictures are blank", blank),
        ("grey", "picture has no colour, and others have", "pictures have no colour, and others have", grey),
    )  # fmt: skip
    return [finding for kind, one, several, names in each for finding in of_names("files", kind, one, several, names)]


def row_findings(report: JoinReport) -> list[Finding]:
    """Rows of the table that cannot be used, and why."""
    reasons = [f"{count} {reason}" for reason, count in report.counts.items() if reason != UNREADABLE]
    count = report.faults - report.counts[UNREADABLE]
    one, several = "row of the table cannot be used", "rows of the table cannot be used"
    return of_count("files", "rows", one, several, count, reasons)


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
    end = f"in {root}"
    found = of_names(
        "files", "unlisted", f"picture {end} is not in the table", f"pictures {end} are not in the table", pictures
    )
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
    one, several = f"file {end} is no picture: {kinds}", f"files {end} are no pictures: {kinds}"
    return [*found, *of_count("files", "no_pictures", one, several, others.total())]
