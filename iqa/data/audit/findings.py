"""One thing that an audit found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: Names that a finding gives.
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """What was found, of how many pictures or files.

    Attributes:
        section: "files", "copies", "split" or "scores".
        kind: a word for programs.
        said: in words, without the names.
        count: of pictures or files; 0 for what is true of the whole set.
        examples: the first names.
    """

    section: str
    kind: str
    said: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return self.said + (f": {', '.join(self.examples)}" if self.examples else "")


def of_names(section: str, kind: str, said: str, names: Sequence[str]) -> list[Finding]:
    """A finding on these pictures or files, or none if there are none."""
    shown = [*names[:EXAMPLES], *["..."] * (len(names) > EXAMPLES)]
    return [Finding(section, kind, f"{len(names)} {said}", len(names), shown)] if len(names) else []
