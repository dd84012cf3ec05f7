"""Where things are, for tests."""

from __future__ import annotations

from pathlib import Path

#: The top of the project.
ROOT = Path(__file__).resolve().parent.parent
