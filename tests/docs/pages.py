"""Pages of documentation taken apart: headings, links, tables, blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from generators import expand
from places import ROOT

READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
#: What a reader meets, without what only the site includes.
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]
#: A page and the same in Chinese.
PAIRS = [
    (READMES[0], READMES[1]),
    *((ROOT / "docs" / page.name, page) for page in sorted((ROOT / "docs" / "zh").glob("*.md"))),
]

FENCE = re.compile(
    r"^(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<language>[\w{}-]*)[^\n]*\n(?P<code>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code, and what it needs that a plain machine lacks."""

    language: str
    code: str
    needs: str | None


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [Block(found["language"], found["code"], found["needs"]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading."""
    return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", prose(text), flags=re.MULTILINE)]


def anchors(page: Path) -> set[str]:
    """What links to a page may end in, as GitHub and the site form it; of generated headings too."""
    text = expand(read(page)) if page.is_relative_to(ROOT / "docs") else read(page)
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in headings(text)}


def links(text: str) -> list[str]:
    """Targets of links and pictures that are not addresses of the web."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(text)))
    return [target for target in found if not re.match(r"\w+:", target)]


def tables(text: str) -> list[int]:
    """How many rows each table has."""
    found = re.findall(r"(?:^\|.*\n)+", prose(text) + "\n", flags=re.MULTILINE)
    return [len(table.strip().splitlines()) for table in found]


def without_comments(code: str) -> list[str]:
    """Lines of code as far as they do something."""
    return [bare for line in code.splitlines() if (bare := re.sub(r"(^|\s)(#|//) .*", "", line).rstrip())]


def commands(block: Block) -> list[list[str]]:
    """The commands of a shell block, each as its words."""
    if block.language != "bash":
        return []
    lines = block.code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
