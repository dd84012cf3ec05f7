"""The house keeps its shape: imports point one way, heavy guests stay in their rooms, and no room is crowded."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

#: Floors of the house, from the ground: a room's modules import from each other and from the floors below, never from
#: above, and never from another room of their own floor.
FLOORS = [
    [
        {"errors"},
        {"files"},
        {"processes"},
        {"distributed"},
        {"progress"},
        {"records"},
        {"metrics", "resampling", "calibration", "conformal"},
    ],
    [{"config"}, {"device"}],
    [{"data.manifest"}, {"model"}, {"estimate"}],
    [{"data.splits"}, {"data.store"}],
    [{"data.audit.twins"}],
    [{"data.scored"}, {"data.synthetic"}],
    [{"data.prepared", "data.expected"}, {"data.audit"}],
    [{"training"}],
    [{"forecast"}],
    [{"scoring"}],
    [{"evaluation"}],
    [{"plots"}, {"tracking"}],
    [{"tuning"}, {"deploy"}],
    [{"api"}],
    [{"commands"}],
]
#: The one room of each guest.
ROOMS = {"mlflow": "tracking", "matplotlib": "plots", "seaborn": "plots", "optuna": "tuning"}
#: What a call of the library hands on is typed by its guest; nothing is drawn or stored there.
TYPES_ALONE = {
    *((f"api.{name}", "matplotlib") for name in ("score", "results.result", "results.experiments", "results.pictures")),
    ("api.tune", "optuna"),
}
MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_SCRIPT = 12, 300, 60, 20

LIBRARY = sorted((ROOT / "iqa").rglob("*.py"))
SCRIPTS = sorted((ROOT / "pipelines").glob("*.py"))


def name_of(path: Path) -> str:
    """A module by its place under iqa, such as "data.store.cache"; a package by its folder."""
    return ".".join(path.relative_to(ROOT / "iqa").with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(path): path for path in LIBRARY}


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, at its top or later, in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule.removeprefix("iqa.") in MODULES else node.module


def own_imports(name: str) -> set[str]:
    """The modules of the library that a module imports."""
    found = {each.removeprefix("iqa.") for each in imports(MODULES[name]) if each.startswith("iqa.")}
    return {each for each in found if each in MODULES} - {name}


def place(name: str) -> tuple[int, int]:
    """Floor and room of a module."""
    for floor, rooms in enumerate(FLOORS):
        for number, members in enumerate(rooms):
            if any(name == member or name.startswith(f"{member}.") for member in members):
                return floor, number
    raise AssertionError(f"{name} has no place on the floors")


#: Doors of the house, which belong to no room.
DOORS = {"", "__main__", "data"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - DOORS))
def test_imports_point_down(name: str) -> None:
    floor, room = place(name)
    for other in own_imports(name) - DOORS:
        their_floor, their_room = place(other)
        assert their_floor <= floor, f"{name} asks {other}, which is above it"
        assert floor == 0 or their_floor < floor or their_room == room, f"{name} asks {other} in the room beside it"


def test_no_module_comes_back_to_itself() -> None:
    # A package's own file only names what its modules offer.
    graph = {name: own_imports(name) for name in MODULES if name not in DOORS}
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            graph.pop(name, None)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_guests_stay_in_their_rooms(name: str) -> None:
    for each in imports(MODULES[name]):
        guest = each.partition(".")[0]
        if guest in ROOMS and (name, guest) not in TYPES_ALONE:
            assert name.split(".")[0] == ROOMS[guest], f"{guest} belongs in iqa/{ROOMS[guest]}"


def test_no_room_and_no_module_is_crowded() -> None:
    for folder in {path.parent for path in LIBRARY}:
        modules = [path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]
        assert len(modules) <= MOST_MODULES, f"{folder} has {len(modules)} modules"
    for path in LIBRARY:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, path


@pytest.mark.parametrize("path", [*LIBRARY, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_of_the_guide_calls_its_command_and_nothing_else(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES_OF_A_SCRIPT
    assert set(imports(path)) == {"sys", "iqa.commands.main"}


VERBS = sorted(path.stem for path in (ROOT / "iqa" / "commands").rglob("*.py") if "def main(" in path.read_text())


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "main"])
def test_help_waits_for_nothing_heavy(verb: str, run) -> None:
    code = (
        "import sys\n"
        "from iqa.commands.main import main\n"
        f"try: main(['{verb}', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'matplotlib', 'pandas', 'sklearn', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    finished = run("-c", code)
    assert finished.returncode == 0, finished.stderr
    assert "--help" in finished.stdout


def test_python_is_one_that_is_promised() -> None:
    assert (3, 11) <= sys.version_info[:2] <= (3, 14)
