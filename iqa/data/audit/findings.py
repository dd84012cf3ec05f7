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
        section: "files", "copies", "split", "scores", "raters" or "suspects".
        kind: a word for programs.
        said: in words, without the names.
        count: of pictures, files or raters; 0 for what is true of the whole set.
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


def of_names(section: str, kind: str, one: str, several: str, names: Sequence[str]) -> list[Finding]:
    """A finding on these pictures, files or raters, or none if there are none.

    Args:
        one, several: what is said of one of them after its number, and of several.
    """
    shown = [*names[:EXAMPLES], *["..."] * (len(names) > EXAMPLES)]
    return of_count(section, kind, one, several, len(names), shown)


def of_count(
    section: str, kind: str, one: str, several: str, count: int, examples: Sequence[str] = ()
) -> list[Finding]:
    """A finding on so many, or none if there are none; `one` and `several` as for `of_names`."""
    said = f"{count} {one if count == 1 else several}"
    return [Finding(section, kind, said, count, list(examples))] if count else []
