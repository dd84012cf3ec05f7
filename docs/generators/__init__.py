"""What the site says of settings, commands, functions and the tour is made from the code, when it is built.

A page holds prose and a line `<!-- generated: NAME -->`, in whose place NAME's text is put.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from generators.api import api
from generators.commands import commands
from generators.settings import settings
from generators.tour import tour

GENERATORS: dict[str, Callable[[], str]] = {"api": api, "commands": commands, "settings": settings, "tour": tour}

MARK = re.compile(r"^<!-- generated: (\w+) -->$", flags=re.MULTILINE)
#: The end of a line within Chinese text, which a browser would show as a space.
SPLIT = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
#: Files outside of `docs/` that links name where they stand, and their pages on the site.
OUTSIDE = {
    "CONTRIBUTING.md": "/reference/contributing.md",
    "benchmarks/RESULTS.md": "/reference/results.md",
    "benchmarks/TRIED.md": "/reference/tried.md",
}


def expand(page: str) -> str:
    """A page as the site shows it: what is generated in its place, links to the site's pages, Chinese unbroken."""
    for file, there in OUTSIDE.items():
        page = re.sub(rf"\]\((\.\./)+{re.escape(file)}", f"]({there}", page)
    page = SPLIT.sub("", page)
    return MARK.sub(lambda mark: GENERATORS[mark[1]](), page)
