"""A store is found by all that begin in a fresh folder at once, and by who comes after one that was killed."""

from __future__ import annotations

import json

import pytest
from places import ROOT

#: `benchmarks/beginnings.py` tries forty.
TRIES = 4


@pytest.mark.parametrize("how", ["at_once", "killed"])
@pytest.mark.parametrize("kind", ["mlflow", "optuna"])
def test_every_beginning_goes_well(run, kind: str, how: str) -> None:
    said = run(ROOT / "tests" / "beginnings.py", kind, how, TRIES)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["failed"] == []
