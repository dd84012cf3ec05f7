"""The house keeps its shape: imports point one way, and heavy guests stay in their rooms."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

#: Floors of the house: a module imports from its own floor and those below, never from above.
FLOORS = [
    {
        "errors",
        "files",
        "records",
        "processes",
        "metrics",
        "resampling",
        "cli",
        "config_data",
        "config_tuning",
        "config",
        "config_file",
    },
    {"device", "data", "model"},
    {"training"},
    {"scoring"},
    {"evaluation"},
    {"tracking"},
    {"tuning"},
]
#: The one room of each guest.
ROOMS = {
    "mlflow": "iqa/tracking",
    "matplotlib": "iqa/evaluation/plots",
    "seaborn": "iqa/evaluation/plots",
    "optuna": "iqa/tuning",
}
#: Tracking may ask scoring to serve a model, and otherwise knows only plain things.
TRACKING_KNOWS = {*FLOORS[0], "tracking", "scoring"} - {"metrics", "cli"}

MODULES = sorted((ROOT / "iqa").rglob("*.py")) + sorted((ROOT / "pipelines").rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    place = path.relative_to(ROOT)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] in ROOMS:
            assert str(place).startswith(ROOMS[parts[0]]), f"{parts[0]} belongs in {ROOMS[parts[0]]}"
        if place.parts[0] != "iqa" or len(place.parts) < 2 or parts[0] not in ("iqa", "pipelines"):
            continue
        assert parts[0] == "iqa", "the library does not know its entry points"
        own = place.parts[1].removesuffix(".py")
        if len(parts) < 2 or own == "__init__":
            continue
        if own == "tracking":
            assert parts[1] in TRACKING_KNOWS
        else:
            assert own != "tuning" or parts[1] != "tracking", "pipelines tell tracking of trials"
            assert floor(parts[1]) <= floor(own)


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "pipelines").glob("[a-z]*_*.py")))
def test_help_waits_for_nothing_heavy(script: str, run) -> None:
    code = (
        f"import sys; sys.argv = ['{script}', '--help']\n"
        f"from pipelines import {script}\n"
        f"try: {script}.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'matplotlib', 'pandas', 'sklearn', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    finished = run("-c", code)
    assert finished.returncode == 0, finished.stderr
    assert "--help" in finished.stdout


def test_python_is_one_that_is_promised() -> None:
    assert sys.version_info[:2] in {(3, 11), (3, 12)}
