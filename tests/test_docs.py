"""What the documentation says is so: commands parse and run, links lead somewhere, both languages say the same."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from generators.commands import parse
from generators.settings import all_settings
from pages import (
    PAGES,
    PAIRS,
    anchors,
    blocks,
    commands,
    headings,
    links,
    name_of,
    prose,
    read,
    tables,
    without_comments,
)
from places import ROOT
from small import TINY, do, reader, smaller

from iqa.commands.main import VERBS
from iqa.config.reading import load_config, parse_overrides
from iqa.config.recipes import recipe_texts
from iqa.errors import UserError

SETTINGS = all_settings()
#: What a reader of the tutorial has made before it is named.
MADE = ("experiments/", "configs/tuned/")
#: Options that name configs.
CONFIGS = ("config", "configs")

WRITTEN = [
    (name_of(page), shlex.join(words))
    for page in PAGES
    for block in blocks(read(page))
    for words in commands(block)
    if words[0] in ("iqa", "make") or words[:2] == ["mlflow", "run"]
]


def check(words: list[str]) -> None:
    """Refuse a command that the project does not know.

    Raises:
        AssertionError, SystemExit or UserError: it does not.
    """
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        for target in [word for word in words[1:] if "=" not in word]:
            assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE), f"make has no {target}"
    elif words[0] == "mlflow":
        check_launched(words)
    else:
        check_verb(words[1], words[2:])


def check_launched(words: list[str]) -> None:
    """The launcher's command is one of `iqa`: with what `-P` gives, and the defaults of the entry point."""
    from mlflow.projects.utils import load_project

    pairs = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-P")
    entry = words[words.index("-e") + 1] if "-e" in words else "main"
    assert set(words[3::2]) <= {"-e", "-P", "--env-manager", "--experiment-name"}, words
    command = load_project(str(ROOT)).get_entry_point(entry).compute_command(pairs, None)
    python, _, _, verb, *arguments = shlex.split(command)
    assert python == "python"
    check_verb(verb, arguments)


def check_verb(verb: str, arguments: list[str]) -> None:
    """The verb's own parser takes the arguments; settings and configs among them exist."""
    assert verb in VERBS, f"iqa has no verb {verb}"
    parsed = parse(verb, arguments)
    given = [value for name in CONFIGS for value in as_list(getattr(parsed.options, name, None))]
    for config in given:
        if not config.startswith(MADE):
            assert (ROOT / config).is_file() or config in recipe_texts(), f"there is no config {config}"
            load_config(ROOT / config if (ROOT / config).is_file() else config, parsed.rest)
    for key, _ in parse_overrides(parsed.rest):
        assert known(key) or (verb == "score" and key.startswith("spark.")), f"there is no setting {key}"


def as_list(value: Any) -> list[str]:
    words = value if isinstance(value, list) else [value] if value else []
    return [word for each in words for word in each.replace(",", " ").split()]


def known(key: str) -> bool:
    """Whether a dotted name, which may end in `.*`, is a setting or a section of settings."""
    if match := re.fullmatch(r"tuning\.space\.(.+)\.(low|high|log|choices)", key):
        key = match[1]
    if key.startswith("training.scheduler_params."):
        return True
    section = key.removesuffix(".*") + "."
    return key in SETTINGS or any(each.startswith(section) for each in SETTINGS)


# What stands in the pages.


@pytest.mark.parametrize(("page", "command"), WRITTEN)
def test_a_command_is_one_that_the_project_knows(page: str, command: str) -> None:
    check(shlex.split(command))


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "iqa trian",
        "iqa evaluate --experiments experiments/quick_test --skip_tsne maybe",
        "iqa train --config configs/nothing.json",
        "iqa train --config configs/quick_test.json --model.clusters 3",
        "iqa evaluate --experiment experiments/quick_test --data.rooot FOLDER",
        "iqa serve experiments/quick_test --threads 3",
        "mlflow run . -e train --env-manager local -P config=configs/quick_test.json -P model.clusters=3",
    ],
)
def test_a_wrong_command_would_be_seen(command: str) -> None:
    with pytest.raises((AssertionError, SystemExit, UserError)):
        check(shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in links(read(page)):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_that_are_named_exist(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "]", read(page))
    named = re.findall(r"(?<![\w./])((?:data|model|training|tracking|tuning)\.[a-z_]+(?:\.[a-z_*]+)*)", text)
    files = (".md", ".json", ".py", ".csv", ".png")
    assert not [key for key in named if not known(key) and not key.endswith(files)]


def test_a_setting_that_does_not_exist_would_be_seen() -> None:
    assert known("model.mixture.*")
    assert known("tuning.space.model.dropout.low")
    assert not known("model.mixture.dims")
    assert not known("tuning.space.model.drop.low")


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_says_what_it_does(key: str) -> None:
    assert SETTINGS[key].meaning, f"write a `#:` comment above {key}"


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda page: name_of(page))
def test_both_languages_say_the_same(english: Path, chinese: Path) -> None:
    ours, theirs = read(english), read(chinese)
    assert [level for level, _ in headings(ours)] == [level for level, _ in headings(theirs)]
    assert tables(ours) == tables(theirs)
    told = [[block for block in blocks(text) if block.language != "{toctree}"] for text in (ours, theirs)]
    code, translated = ([without_comments(block.code) for block in each] for each in told)
    assert code == translated
    assert [block.needs for block in told[0]] == [block.needs for block in told[1]]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "explanation").glob("*.md")), ids=name_of)
def test_figures_of_the_explanation_are_among_the_results(page: Path) -> None:
    measured = read(ROOT / "benchmarks" / "RESULTS.md") + read(ROOT / "benchmarks" / "TRIED.md")
    quoted = re.findall(r"(?<![\w.])\.\d{3,}", prose(read(page)))
    assert not [figure for figure in quoted if figure not in measured]


def test_every_how_to_is_there_in_both_languages() -> None:
    english = {page.name for page in (ROOT / "docs").glob("*.md")} - {"tour.md"}
    assert {page.name for page in (ROOT / "docs" / "zh").glob("*.md")} == english


# What is run.

#: The tutorial in small: what its commands name, and what a test puts in its place.
SMALLER = {
    "--trials 12": "--trials 3",
    "--data.picture_size 128": "--data.picture_size 48",
    "range(24)": "range(8)",
}


#: The tour in small.
TOUR_SMALLER = {
    '"data.train_samples": 300': '"data.train_samples": 100',
    '"data.val_samples": 100': '"data.val_samples": 60',
    '"data.test_samples": 100': '"data.test_samples": 60',
    '"training.epochs": 6': '"training.epochs": 3, "model.backbone": "test_resnet", "model.pretrained": False',
}


@pytest.fixture(scope="module")
def followed(
    tmp_path_factory: pytest.TempPathFactory, place_database: Callable[[Path], None], one_thread: None
) -> Iterator[Path]:
    """A folder in which the tutorial was followed, command by command, with tiny configs."""
    folder = tmp_path_factory.mktemp("tutorial")
    place_database(folder / "mlflow.db")
    with reader(folder):
        script = ""
        for block in blocks(read(ROOT / "docs" / "tutorial.md")):
            if block.language == "python":
                script = block.code
            for words in [] if block.needs else commands(block):
                follow(words, script)
        yield folder


def follow(words: list[str], script: str) -> None:
    """Do what a line of the tutorial says; `script` is the Python that was shown last."""
    if words[0] == "python":
        Path(words[1]).write_text(smaller(script, SMALLER))
        runpy.run_path(words[1])
        return
    assert words[0] == "iqa", f"no test follows: {shlex.join(words)}"
    do(words[1], shlex.split(smaller(shlex.join(words[2:]), SMALLER)))
    if words[1] == "configs":
        Path("configs/quick_test.json").write_text(json.dumps(TINY))


def test_the_tutorial_leads_where_it_says(followed: Path) -> None:
    for path in (
        "experiments/quick_test/visualizations/clusters.png",
        "experiments/repeated/repeats.json",
        "experiments/backbones-comparison/comparison.md",
        "experiments/clusters-comparison/comparison.md",
        "experiments/quick_test-tuning/recommendations.md",
        "configs/tuned/quick_test.json",
        "audits/own/audit.html",
        "scores/own-pictures/scores.csv",
        "experiments/own/best_model.onnx",
        "scores/by_file/scores.csv",
    ):
        assert (followed / path).is_file(), path


def test_each_picture_of_the_tutorial_is_drawn(followed: Path) -> None:
    named = set(re.findall(r"^\| `(\w+\.png)` \|", read(ROOT / "docs" / "tutorial.md"), flags=re.MULTILINE))
    drawn = {path.name for path in (followed / "experiments" / "quick_test" / "visualizations").glob("*.png")}
    assert named == drawn


def test_the_page_of_files_names_every_file_and_no_other(followed: Path) -> None:
    place = followed / "experiments"
    written = [str(path.relative_to(place)) for path in sorted(place.rglob("*")) if path.is_file()]
    assert len(written) > 100
    rows = file_rows()
    assert not [path for path in written if not any(re.fullmatch(pattern, path) for pattern, _ in rows)]
    # What is written in certain cases alone is told with a "where", "while" or "ensemble".
    always = [pattern for pattern, by in rows if not re.search("where|while|ensemble", by)]
    assert not [pattern for pattern in always if not any(re.fullmatch(pattern, path) for path in written)]


def file_rows() -> list[tuple[str, str]]:
    """What docs/reference/files.md says of files under experiments/: a pattern, and who writes it."""
    text = read(ROOT / "docs" / "reference" / "files.md")
    text = text[: text.index("## Elsewhere")]
    rows = []
    for cell, by in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", text, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", cell):
            whole = name if "<name>" in name else f"<name>/{name}"
            pattern = re.escape(whole).replace("<name>", "[^/]+").replace("<n>", r"\d+").replace(r"\*", "[^/]*")
            rows.append((pattern + ".*" * name.endswith("/"), by))
    return rows


def test_the_tour_runs(run: Callable[..., Any], place_database: Callable[[Path], None], tmp_path: Path) -> None:
    place_database(tmp_path / "mlflow.db")
    tour = read(ROOT / "docs" / "tour.py")
    assert not [large for large in TOUR_SMALLER if large not in tour]
    (tmp_path / "tour.py").write_text(smaller(tour, TOUR_SMALLER))
    done = run("tour.py")
    assert done.returncode == 0, done.stderr
    for said in ("no_mixture", "study", "test of mine", "best_model.onnx"):
        assert said in done.stdout


def test_the_tour_is_a_page() -> None:
    from generators.tour import tour

    page = tour()
    assert len(blocks(page)) >= 10
    assert not re.search("^# %%", page, flags=re.MULTILINE)
    assert [words for level, words in headings(page) if level == 2] == [
        "Train", "Test", "Compare", "Tune", "Pictures of your own", "Score", "Take it away",
    ]  # fmt: skip


def test_no_page_tells_of_places_that_a_reader_does_not_have() -> None:
    told = [name_of(page) for page in PAGES if re.search(r"(?<![\w.])/work/|\.\./shared", prose(read(page)))]
    assert not told
