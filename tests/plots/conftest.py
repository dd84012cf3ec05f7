"""Figures are looked at here: they are laid out and drawn as users have them."""

from __future__ import annotations

import pytest
from forked import draw_fully


@pytest.fixture(autouse=True)
def _draws_fully(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_fully(monkeypatch)
