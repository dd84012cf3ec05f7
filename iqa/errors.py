"""The two ways in which a command ends badly, each with a message that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class IqaError(Exception):
    """A failure while running (exit code 1): what went wrong, what was got, what was expected, how to mend it."""

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, expected: object = None, fix: str | None = None) -> None:
        lines = [what]
        for label, value in (("got", got), ("expected", expected), ("fix", fix)):
            if value is not None:
                lines.append(f"  {label}: {value}")
        super().__init__("\n".join(lines))


class UserError(IqaError):
    """Bad input (exit code 2): nothing was started and nothing was changed."""

    exit_code = 2


class Interrupted(IqaError):
    """Ctrl-C or SIGTERM arrived; what was finished is saved (exit code 130, as shells expect)."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, as advice, or None if none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{matches[0]}'?" if matches else None


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of many, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
