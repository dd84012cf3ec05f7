"""Each example of CONTRIBUTING.md is short, and runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"## (A \w+(?: set)?)\n.*?```python\n(.*?)```", TEXT, flags=re.DOTALL))


def test_there_is_an_example_of_each() -> None:
    assert list(EXAMPLES) == ["A backbone", "A data set", "A loss", "A figure"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_runs(name: str, run, tmp_path: Path) -> None:
    code = EXAMPLES[name]
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    (tmp_path / "example.py").write_text(code)
    done = run("example.py", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "errors.png" in done.stdout if name == "A figure" else "validation SRCC" in done.stdout


def test_the_map_names_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "iqa").glob("*/__init__.py")}
    missing = [room for room in sorted(rooms) if f"`{room}/`" not in TEXT]
    assert not missing
