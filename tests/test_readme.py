"""README is followed in order and as it stands, in small; what is not run here says who runs it, or what it needs."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pages import READMES, blocks, commands, prose, read
from places import ROOT
from servers import LEAN, fetch, free_port, started
from small import TINY, do, reader, smaller
from tiny_model import picture

from iqa.files import read_json

README = read(READMES[0])
#: README in small: configs that need no hub and no minutes, and pictures of fewer pixels.
SMALLER = {
    "make train": "make train CONFIG=small/quick_test.json",
    "configs/resnet18_gmm_mlp.json": "small/resnet18_gmm_mlp.json",
    "--experiment_name mine": "--experiment_name mine --data.picture_size 96",
    'iqa.train("quick_test"': 'iqa.train("small/quick_test.json"',
}
#: Commands between the blocks that are whole as they stand.
WHOLE = ("make help", "iqa sync", "iqa doctor")
#: Verbs that README names without saying what to do them to, and tests that do them.
RUN_BY = {
    "iqa ensemble": "test_ensemble.py::test_the_ensemble_of_a_split_scores_pictures_as_a_model_does",
    "iqa promote": "test_promote.py::test_a_worse_one_is_refused_with_the_figures_and_nothing_is_changed",
    "iqa serve": "test_serve.py::test_the_printed_lines_work_as_they_are_printed",
}
#: Commands that no test runs, and what they need that tests lack.
NEEDS = {
    "make test": "all tests, of which this is one",
    "make test lint types docs": "all tests, of which this is one; `.ci/run` runs it at every change",
    "make docs": "minutes; `.ci/run` runs it at every change",
    "make wheel": "the package index, for what builds wheels",
    "pip install dist/iqa-*.whl": "the package index, and an environment to install into",
}
OWN, MORE = 40, 4


def shown(page: str) -> list[str]:
    """The commands in the blocks of a page, in order, but for blocks that say what they need."""
    found = [words for block in blocks(page) if not block.needs for words in commands(block)]
    return [shlex.join(words) for words in found]


def named(page: str) -> list[str]:
    """The commands between the blocks of a page, in order; no patterns of them such as `-e VERB`."""
    return re.findall(r"`([a-z]+ [a-z0-9_./* -]+)`", prose(page))


@dataclass
class Reader:
    """Somebody who does what README says.

    Attributes:
        folder: where that is done.
        environment: of the shell there.
        said: what each command printed.
        made: the names of the last script.
    """

    folder: Path
    environment: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def follow(self, command: str) -> None:
        line = smaller(command, SMALLER)
        program, *arguments = shlex.split(line)
        if program == "iqa":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                do(arguments[0], arguments[1:])
            self.said[command] = printed.getvalue()
        elif command == "make ui":
            self.said[command] = self.look()
        elif program == "source":  # which counts for what comes after it
            self.environment["PATH"] = self.said[command] = self.shell(f"{line} && printenv PATH").strip()
        else:
            assert program in ("make", "mlflow"), f"no test follows: {command}"
            self.said[command] = self.shell(line)

    def shell(self, line: str) -> str:
        options: dict[str, Any] = {"env": self.environment, "capture_output": True, "text": True}
        done = subprocess.run(["bash", "-c", line], **options, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def look(self) -> str:
        """What `make ui` prints, and under it what the page answers of the experiment `iqa`."""
        port, printed = free_port(), Path("ui.txt")
        local = f"http://127.0.0.1:{port}"
        with printed.open("w") as file:
            options = {"env": self.environment, "stdout": file, "stderr": subprocess.DEVNULL}
            with started(["make", "ui", f"PORT={port}"], f"{local}/health", **options):
                found = fetch(f"{local}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=iqa")
        return f"{printed.read_text()}\n{json.loads(found)['experiment']['experiment_id']} at {local}"

    def run(self, script: str) -> None:
        Path("script.py").write_text(smaller(script, SMALLER))
        self.made = runpy.run_path("script.py")


@pytest.fixture(scope="module")
def followed(
    tmp_path_factory: pytest.TempPathFactory, place_database: Callable[[Path], None], one_thread: None
) -> Iterator[Reader]:
    """Somebody who followed README block by block, in a folder like a checkout in which everything is installed."""
    folder = tmp_path_factory.mktemp("readme")
    place_database(folder / "mlflow.db")
    with reader(folder):
        lean = LEAN | {"MLFLOW_WORKERS": "1", "OMP_NUM_THREADS": "1"}
        someone = Reader(folder, {**os.environ, "PYTHONPATH": str(ROOT), **lean})
        check_out()
        someone.shell("make --touch venv")
        photograph()
        for block in blocks(README):
            if block.language == "python":
                someone.run(block.code)
            for words in [] if block.needs else commands(block):
                someone.follow(shlex.join(words))
        for command in WHOLE:
            someone.follow(command)
        yield someone


def check_out() -> None:
    """What `make` and `mlflow run` read, the environment of these tests, and small configs of standard names."""
    for name in ("Makefile", "MLproject", "conda.yaml", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        Path(name).symlink_to(ROOT / name)
    for folder in (".venv", "small"):
        Path(folder).mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith(".installed"):
            Path(".venv", path.name).symlink_to(path)
    for name in ("quick_test", "resnet18_gmm_mlp"):
        Path("small", f"{name}.json").write_text(json.dumps(TINY | {"experiment_name": name}))


def photograph() -> None:
    """Pictures of the reader's own, and scores of some of them, where README looks for them."""
    pictures = [f"FOLDER/pictures/{number}.png" for number in range(OWN)]
    pictures += [*(f"MORE_PICTURES/{number}.png" for number in range(MORE)), "a.jpg", "b.png"]
    for number, name in enumerate(pictures):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(name)
    rows = [{"image": f"{number}.png", "mos": 5 - number % 9 / 3} for number in range(OWN)]
    pd.DataFrame(rows).to_csv("FOLDER/scores.csv", index=False)


def test_every_command_of_a_block_is_run(followed: Reader) -> None:
    assert [*followed.said] == [*shown(README), *WHOLE]
    assert {block.language for block in blocks(README)} == {"bash", "python"}


def test_every_other_command_is_run_somewhere_or_says_what_it_needs(followed: Reader) -> None:
    made = followed.said["make train"].splitlines()  # `make` writes what it runs
    run = [*followed.said, *made, *shown(read(ROOT / "docs" / "tutorial.md"))]
    rest = {each for each in named(README) if not any(line.startswith(each) for line in run)}
    assert rest == {*RUN_BY, *NEEDS}


def test_a_command_that_nobody_follows_would_be_seen() -> None:
    with pytest.raises(AssertionError, match="no test follows: docker"):
        Reader(Path(), {}).follow("docker run iqa")
    assert named("Then `docker run iqa`, but not `mlflow run . -e VERB` or `--data.seed 0`.") == ["docker run iqa"]


def test_nothing_stands_in_for_what_readme_no_longer_says() -> None:
    assert [large for large in SMALLER if large not in README] == []
    assert [command for command in WHOLE if command not in named(README)] == []


@pytest.mark.parametrize("command", RUN_BY)
def test_a_test_that_is_named_does_what_it_is_named_for(command: str) -> None:
    file, _, name = RUN_BY[command].partition("::")
    text, verb = read(ROOT / "tests" / file), command.removeprefix("iqa ")
    assert name in [part.name for part in ast.parse(text).body if isinstance(part, ast.FunctionDef)]
    assert re.search(rf'"{verb}"|\b{verb}\.main\(', text), f"{file} does not run {command}"


def test_both_languages_show_and_name_the_same_commands() -> None:
    ours, theirs = map(read, READMES)
    assert shown(ours) == shown(theirs)
    assert named(ours) == named(theirs)


def test_make_train_ends_with_figures_and_says_where_files_are(followed: Reader) -> None:
    told = followed.said["make train"].partition("-e evaluate")[2]
    assert re.search(r"SRCC -?0\.\d+  \(95 % interval", told)
    files = re.findall(r"^  (experiments/\S+)$", told, flags=re.MULTILINE)
    assert {"best_model.pth", "test_results.json", "predictions_scatter.png"} <= {Path(file).name for file in files}


def test_make_ui_prints_the_address_of_the_table_that_it_serves(followed: Reader) -> None:
    printed, last = followed.said["make ui"].rsplit("\n", 1)
    experiment, local = last.split(" at ")
    assert f"open {local}/#/experiments/{experiment}/runs?" in printed


def test_make_help_lists_what_readme_names(followed: Reader) -> None:
    targets = {word for command in named(README) if command.startswith("make ") for word in command.split()[1:]}
    assert [each for each in targets - {"help"} if f"make {each} " not in followed.said["make help"]] == []


def test_a_training_is_the_same_without_mlflows_launcher(followed: Reader) -> None:
    launched, trained = (
        read_json(followed.folder / "experiments" / name / "training_history.json")["epochs"]
        for name in ("resnet18_gmm_mlp.1", "resnet18_gmm_mlp")
    )
    for epoch in (*launched, *trained):
        del epoch["seconds"], epoch["images_per_second"]
    assert launched == trained


def test_a_table_of_scores_and_a_folder_are_all_it_takes(followed: Reader) -> None:
    assert len(pd.read_csv(followed.folder / "scores" / "mine-MORE_PICTURES" / "scores.csv")) == MORE


def test_the_same_goes_from_python(followed: Reader) -> None:
    made = followed.made
    assert made["tested"].results["n"] == TINY["data"]["test_samples"]
    assert made["table"]["score"].notna().tolist() == [True, True]


def test_each_verb_of_the_table_but_doctor_is_an_entry_point() -> None:
    cells = re.findall(r"^\| (`iqa [^|]*) \|", README, flags=re.MULTILINE)
    verbs = {verb for cell in cells for verb in re.findall(r"(\w+)`", cell)}
    points = yaml.safe_load(read(ROOT / "MLproject"))["entry_points"]
    assert verbs - {"doctor"} == {*points} - {"main"}
