"""`iqa.compare`: several experiments trained and tested on the same pictures, and which of them is really better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from iqa.api.calls import Terminal, as_found, logged_here, places
from iqa.api.repeats import forecast_of_splits, repeat
from iqa.api.results import ComparisonResult
from iqa.api.running import finish
from iqa.config import ExperimentConfig
from iqa.config.data import WITHOUT_INFLUENCE
from iqa.config.reading import read_config
from iqa.errors import Interrupted, UserError, first_line
from iqa.estimate import about, in_turn
from iqa.evaluation.comparison import as_markdown, as_rows, compare_tested
from iqa.evaluation.comparison_splits import compare_splits
from iqa.evaluation.report import RESULTS
from iqa.evaluation.tested import read_contender
from iqa.files import split_folder, write_json, write_text
from iqa.forecast import forecast
from iqa.plots.several.comparison import comparison
from iqa.plots.style import save_drawn_by
from iqa.progress import one_step
from iqa.tracking import Tracker, open_run, read_run_note
from iqa.training.checkpoints import ExperimentFolder

#: Data settings in which the configs may differ: under others they would be tested on different pictures.
OWN_DATA = {"data.batch_size", "data.image_size", *WITHOUT_INFLUENCE}


@as_found
def compare(
    configs: Sequence[str | Path | Mapping[str, Any] | ExperimentConfig],
    *,
    settings: Mapping[str, Any] | None = None,
    name: str = "backbones",
    output: str | Path = "experiments",
    repeats: int = 1,
    verbose: bool = False,
) -> ComparisonResult:
    """Train and test what is not yet, and compare all of it, as children of one MLflow run.

    Writes `output`/<name>-comparison/. What is trained and tested already is taken as it is, so that the same call goes
    on where it was stopped.

    Args:
        configs: two or more, each as `iqa.train` takes it.
        settings: of all configs, by their dotted names.
        name: of the comparison.
        repeats: splits on which each is trained and tested; with more than one, differences are judged over them.
        verbose: print what the command prints.

    Raises:
        UserError: the configs are not comparable, or a folder holds another experiment of one's name.
    """
    read = [read_config(config, settings) for config in configs]
    check_comparable(read)
    if repeats < 1:
        raise UserError("--repeats counts splits", got=repeats, expected="1 or more")
    terminal, output = Terminal(verbose), Path(output)
    folder = output / f"{name}-comparison"
    if verbose:
        _announce(read, output, repeats, terminal)
    with open_run(
        read[0],
        role="compare",
        name=folder.name,
        run_id=read_run_note(folder).get("run_id"),
        directory=folder,
        tags={"backbone": ", ".join(dict.fromkeys(config.model.backbone for config in read)), "repeats": repeats},
    ) as tracker:
        tracker.log_params({"experiments": ", ".join(config.experiment_name for config in read)})
        for number, config in enumerate(read, start=1):
            terminal.say(f"\n{number} of {len(read)}: {config.experiment_name}")
            try:
                _train_and_test(config, output, repeats, tracker, terminal)
            except Interrupted as stop:
                raise Interrupted(f"{first_line(stop)}\n  continue: the same command") from None
        with one_step("comparing", shown=terminal.bars):
            found = _judge(read, output, repeats)
            _write(found, folder, tracker)
        runs = {config.experiment_name: read_run_note(output / config.experiment_name).get("run_id") for config in read}
        pages = {each: tracker.run_link(run) for each, run in runs.items()}
        tracker.describe(f"{as_markdown(found, pages)}\n{tracker.log_preview(folder / 'comparison.png')}")
    return ComparisonResult(folder, found, tracker.link)


def _announce(configs: list[ExperimentConfig], output: Path, repeats: int, terminal: Terminal) -> None:
    """The first line; what is tested already takes nothing."""
    ahead = [each for each in configs if not _is_tested(output / each.experiment_name, repeats)]
    loads = [forecast_of_splits(each, repeats, logged_here=logged_here(each)) for each in ahead]
    tests = [forecast(each, trains=False, logged_here=logged_here(each)) for each in ahead] if repeats == 1 else []
    load = in_turn([*loads, *tests])
    done = f", {len(configs) - len(ahead)} of them trained and tested before" if len(ahead) < len(configs) else ""
    splits = f" on {repeats} splits" if repeats > 1 else ""
    pictures = f" ({load.pictures})" if load.pictures else ""
    what = f"{', '.join(map(about, configs))} on {configs[0].data.dataset}{pictures}{splits}{done}"
    terminal.begins("compare", what, load, places(configs[0], output, load))


def _is_tested(whole: Path, repeats: int) -> bool:
    """Whether the experiment in `whole`, or the last of its splits, has results."""
    last = split_folder(whole, repeats - 1) if repeats > 1 else whole
    return (ExperimentFolder(last).visualizations / RESULTS).is_file()


def check_comparable(configs: list[ExperimentConfig]) -> None:
    """Two or more experiments of different names on the same pictures.

    Raises:
        UserError: they are not.
    """
    if len(configs) < 2:
        raise UserError(
            "a comparison needs at least two configs",
            got=len(configs),
            fix="--configs configs/resnet18_gmm_mlp.json configs/resnet50_gmm_mlp.json",
        )
    names = [config.experiment_name for config in configs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            "two configs have the same experiment_name, so they would train into one folder",
            got=", ".join(twice),
            fix="give each config a name of its own",
        )
    first = configs[0].flat()
    for config in configs[1:]:
        different = [
            f"{key}: {first.get(key)!r} and {value!r}"
            for key, value in config.flat().items()
            if key.startswith("data.") and key not in OWN_DATA and first.get(key) != value
        ]
        if different:
            raise UserError(
                f"{names[0]} and {config.experiment_name} would be tested on different pictures",
                got="; ".join(different[:6]),
                fix="give them the same data section, for instance by overrides such as --data.train_samples 2000",
            )


def _train_and_test(config: ExperimentConfig, output: Path, repeats: int, tracker: Tracker, terminal: Terminal) -> None:
    """Bring an experiment to its end, wherever it stands.

    Raises:
        UserError: the folder holds another experiment of this name.
    """
    if repeats > 1:
        repeat(config, output, repeats, resume=True, parent=tracker.run_id, terminal=terminal)
        return
    experiment = ExperimentFolder(output / config.experiment_name)
    if split_folder(experiment.path, 0).exists():
        raise UserError(
            "this folder holds an experiment on several splits, which a single training would be mixed with",
            got=experiment.path,
            fix="compare with --repeats, or give --output another folder",
        )
    finish(config, experiment, parent=tracker.run_id, skip_tsne=False, terminal=terminal)


def _judge(configs: list[ExperimentConfig], output: Path, repeats: int) -> dict[str, Any]:
    """Compare what was trained and tested."""
    names = [config.experiment_name for config in configs]
    if repeats == 1:
        return compare_tested([read_contender(ExperimentFolder(output / name)) for name in names])
    return compare_splits(
        names,
        [
            [read_contender(ExperimentFolder(split_folder(output / name, number))) for number in range(repeats)]
            for name in names
        ],
    )


def _write(found: dict[str, Any], folder: Path, tracker: Tracker) -> None:
    """comparison.json, .csv, .md and .png, also as artifacts, and the figures of each experiment as metrics."""
    rows = as_rows(found)
    texts = {"comparison.md": as_markdown(found), "comparison.csv": pd.DataFrame(rows).to_csv(index=False)}
    write_json(folder / "comparison.json", found)
    for name, text in texts.items():
        write_text(folder / name, text)
    save_drawn_by(lambda: comparison(found), folder / "comparison.png")
    for name in ("comparison.json", *texts):
        tracker.log_files(folder / name)
    tracker.log_pictures(folder)
    tracker.log_metrics({"best_val_srcc": rows[0]["val_srcc"], "test_srcc": rows[0]["srcc"]})
    tracker.log_tags({"best": found["best"]})
    for row in rows:
        figures = {key: row[key] for key in ("val_srcc", "srcc", "plcc", "difference")}
        tracker.log_metrics({f"compared/{row['name']}/{key}": value for key, value in figures.items()})
