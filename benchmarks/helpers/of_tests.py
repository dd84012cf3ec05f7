"""Importing this makes what tests share importable, before a script of the same name beside this folder."""

from __future__ import annotations

import sys

from .command import ROOT

sys.path.insert(0, str(ROOT / "tests"))
