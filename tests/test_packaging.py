"""One set of dependencies, written down three times: the three cannot drift apart."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

from iqa.commands.main import VERBS


def pins(name: str) -> dict[str, str]:
    """Exact versions by canonical name, as a requirements file states them."""
    lines = [line.strip() for line in (ROOT / name).read_text().splitlines()]
    return exact([line for line in lines if line and not line.startswith("#")])


def exact(lines: list[str]) -> dict[str, str]:
    found = {}
    for requirement in map(Requirement, lines):
        (pin,) = requirement.specifier
        assert pin.operator == "==", f"{requirement} is no exact version"
        found[canonicalize_name(requirement.name)] = pin.version
    return found


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def conda() -> dict:
    return yaml.safe_load((ROOT / "conda.yaml").read_text())


@pytest.fixture(scope="module")
def mlproject() -> dict:
    return yaml.safe_load((ROOT / "MLproject").read_text())


def test_conda_installs_exactly_the_pins(conda: dict) -> None:
    (pip,) = [part["pip"] for part in conda["dependencies"] if isinstance(part, dict)]
    assert exact(pip) == pins("requirements.txt")
    assert "pip" in conda["dependencies"]


def test_conda_has_a_python_that_the_project_allows(conda: dict, project: dict) -> None:
    (python,) = [part for part in conda["dependencies"] if str(part).startswith("python=")]
    assert Requirement(f"iqa{project['project']['requires-python']}").specifier.contains(python.removeprefix("python="))


#: What people need who keep studies on a server, tables in xlsx, or record the GPU's use: `all` of it is pinned.
EXTRAS = ("postgres", "mysql", "excel", "gpu", "heif", "onnx")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_each_pin_is_a_version_that_the_project_allows(file: str, project: dict) -> None:
    table, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    wanted = (
        extras["dev"] if file == "requirements-dev.txt" else [*table, *(e for name in EXTRAS for e in extras[name])]
    )
    ranges = {canonicalize_name(requirement.name): requirement.specifier for requirement in map(Requirement, wanted)}
    assert set(ranges) == set(pins(file))
    for name, version in pins(file).items():
        assert ranges[name].contains(version), f"{name}=={version} is outside {ranges[name]}"


def test_all_is_every_extra(project: dict) -> None:
    (everything,) = map(Requirement, project["project"]["optional-dependencies"]["all"])
    assert everything.name == "iqa"
    assert everything.extras == set(EXTRAS)


def test_what_is_installed_is_what_is_pinned() -> None:
    wrong = {
        name: (version, importlib.metadata.version(name))
        for name, version in (pins("requirements.txt") | pins("requirements-dev.txt")).items()
        if importlib.metadata.version(name).partition("+")[0] != version
    }
    assert not wrong, "(pinned, installed); make venv dev"


@pytest.mark.parametrize("exported", [False, True])
def test_what_a_served_model_asks_for_is_pinned(exported: bool) -> None:
    from iqa.tracking.models.logged import requirements

    assert exact(requirements(exported=exported)).items() <= pins("requirements.txt").items()


@pytest.mark.parametrize(
    "entry_point",
    ["main", "train", "audit", "evaluate", "score", "serve", "tune", "compare", "ensemble", "export", "promote"],
)
def test_an_entry_point_runs_a_module_with_each_of_its_parameters(mlproject: dict, entry_point: str) -> None:
    point = mlproject["entry_points"][entry_point]
    (verb,) = re.findall(r"python -m iqa (\S+)", point["command"])
    assert verb == ("train" if entry_point == "main" else entry_point)
    assert verb in VERBS
    assert re.findall(r"--(\w+) \{(\w+)\}", point["command"]) == [(name, name) for name in point["parameters"]]
    assert all("default" in parameter for parameter in point["parameters"].values())


def test_mlflow_understands_the_project(mlproject: dict) -> None:
    from mlflow.projects.utils import load_project

    project = load_project(str(ROOT))
    assert project.name == "iqa"
    command = project.get_entry_point("train").compute_command({"model.n_clusters": "12"}, None)
    assert command == (
        "python -m iqa train --config configs/quick_test.json --resume false --repeats 1 --processes 1 "
        "--model.n_clusters 12"
    )


def test_the_config_of_the_default_run_is_in_the_repository(mlproject: dict) -> None:
    for name in ("main", "train"):
        assert (ROOT / mlproject["entry_points"][name]["parameters"]["config"]["default"]).is_file()


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("mlruns/0/x/artifacts/a.png", True),
        ("mlruns/README.md", False),
        ("mlflow.db", True),
        ("experiments/quick_test/best_model.pth", True),
        (".venv/bin/python", True),
        ("iqa/data/synthetic/kadid10k_cells.csv", False),
        ("configs/quick_test.json", False),
    ],
)
def test_git_ignores_what_is_made_and_nothing_else(path: str, ignored: bool) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "check-ignore", "--quiet", "--no-index", path]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == (0 if ignored else 1)


def test_make_refuses_a_python_that_is_too_old_and_says_so(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tools / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
        (tools / name).chmod(0o755)
    done = subprocess.run(
        ["make", "venv"],
        cwd=tmp_path,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.9.2" in done.stderr
    assert "expected: Python 3.11, 3.12, 3.13 or 3.14" in done.stderr
    assert not (tmp_path / ".venv").exists()
