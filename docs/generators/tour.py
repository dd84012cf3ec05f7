"""The tour as a page: cells of `docs/tour.py` (percent format), Markdown as text and the rest as code."""

from __future__ import annotations

import re
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "tour.py"


def tour() -> str:
    """Its cells, one below the other."""
    return "\n\n".join(as_markdown(kind, text) for kind, text in cells(SCRIPT.read_text(encoding="utf-8")))


def cells(script: str) -> list[tuple[str, str]]:
    """Kind ("markdown" or "code") and text of each cell; what stands before the first is left out."""
    found = re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", script, flags=re.MULTILINE | re.DOTALL)
    return [("markdown" if kind else "code", text.strip()) for kind, text in found]


def as_markdown(kind: str, text: str) -> str:
    if kind == "code":
        return f"```python\n{text}\n```"
    return "\n".join(re.sub(r"^# ?", "", line) for line in text.splitlines())
