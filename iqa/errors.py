"""The two ways in which a command ends badly, each with a message that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

#: Bytes of a message, in UTF-8, and of what it quotes: what a user's file holds may be of any length.
LONGEST, QUOTED = 2000, 300


class IqaError(Exception):
    """A failure while running (exit code 1): what went wrong, what was got, what was expected, how to mend it."""

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, expected: object = None, fix: str | None = None) -> None:
        said = {"got": got, "expected": expected, "fix": fix}
        parts = [what, *(f"  {label}: {value}" for label, value in said.items() if value is not None)]
        super().__init__("\n".join(_within(parts, LONGEST)))


class UserError(IqaError):
    """Bad input (exit code 2): nothing was started and nothing was changed."""

    exit_code = 2


class Interrupted(IqaError):
    """Ctrl-C or another signal to end arrived; what was finished is saved (exit code 130, or 128 + the signal)."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, as advice, or None if none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{matches[0]}'?" if matches else None


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of many, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def first_line(error: object) -> str:
    """The first line of what an error says, cut; of one that says nothing, its kind."""
    said = str(error).strip() or (type(error).__name__ if isinstance(error, BaseException) else "")
    return cut(said.partition("\n")[0].rstrip())


def _within(parts: list[str], most: int) -> list[str]:
    """Parts of a message, the longest cut until all of them together fit."""
    limit = most
    while sum(min(len(part.encode(errors="backslashreplace")), limit) for part in parts) > most:
        limit -= 20
    return [cut(part, limit) for part in parts]


def cut(text: str, most: int = QUOTED) -> str:
    """A text of at most `most` bytes in UTF-8; one that was longer ends in "..."."""
    content = text.encode(errors="backslashreplace")
    return text if len(content) <= most else content[: most - 3].decode(errors="ignore") + "..."
