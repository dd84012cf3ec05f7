"""Text of the code as Markdown."""

from __future__ import annotations

import re


def as_it_stands(text: str) -> str:
    """Words that Markdown shall not read its own marks in; options, and what stands in backticks, are code."""
    parts = re.split(r"(`[^`]+`|--[a-z][\w.-]*\w)", text)
    return "".join(as_code(part) if part.startswith(("`", "--")) else escaped(part) for part in parts)


def as_code(part: str) -> str:
    return part if part.startswith("`") else f"`{part}`"


def escaped(part: str) -> str:
    return re.sub(r"([|*<>\\_\[\]])", r"\\\1", part)
