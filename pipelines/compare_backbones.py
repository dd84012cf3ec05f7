"""Trains and tests several configs under one MLflow run and says which is really better.

    python pipelines/compare_backbones.py --configs A.json B.json ... [--name N] [--section.key value ...]

What is trained and tested already is taken as it is, so that the same command goes on where it was stopped. Writes
EXPERIMENTS/<name>-comparison/. An override holds for every config.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import run_command
from iqa.config_file import load_config
from iqa.errors import Interrupted, UserError
from pipelines import test_with_viz, train_gpu

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.tracking import Tracker
    from iqa.training.checkpoints import ExperimentFolder

#: Data settings in which the configs may differ: under others they would be tested on different pictures.
OWN_DATA = {"data.batch_size", "data.image_size", "data.num_workers", "data.cache_dir"}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Any setting can be given by its dotted name, such as --training.epochs 20.",
        allow_abbrev=False,
    )
    parser.add_argument("--configs", nargs="+", default=[], help="JSON files, two or more, also as one quoted list")
    parser.add_argument("--name", default="backbones", help="of the comparison (default: %(default)s)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    options, overrides = parser.parse_known_args(arguments)
    # `mlflow run` hands on a list as one word.
    paths = [path for part in options.configs for path in part.replace(",", " ").split()]
    configs = [load_config(path, overrides) for path in paths]
    check_comparable(configs)
    folder = Path(options.output) / f"{options.name}-comparison"
    compare(configs, Path(options.output), folder)
    print(f"\n{(folder / 'comparison.md').read_text(encoding='utf-8')}\nfiles: {folder}")


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


def compare(configs: list[ExperimentConfig], output: Path, folder: Path) -> None:
    """Train and test what is not yet, and compare all in `folder`, as children of one MLflow run."""
    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.evaluation.comparison import compare as compare_contenders
    from iqa.evaluation.comparison import read_contender
    from iqa.tracking import open_run, read_run_note
    from iqa.training.checkpoints import ExperimentFolder

    experiments = [ExperimentFolder(output / config.experiment_name) for config in configs]
    with open_run(
        configs[0],
        role="compare",
        name=folder.name,
        run_id=read_run_note(folder).get("run_id"),
        directory=folder,
        tags={"backbone": ", ".join(dict.fromkeys(config.model.backbone for config in configs))},
    ) as tracker:
        tracker.log_params({"experiments": ", ".join(config.experiment_name for config in configs)})
        for number, (config, experiment) in enumerate(zip(configs, experiments, strict=True), start=1):
            print(f"\n{number} of {len(configs)}: {config.experiment_name}", flush=True)
            train_and_test(config, experiment, tracker)
        write(compare_contenders([read_contender(experiment) for experiment in experiments]), folder, tracker)


def train_and_test(config: ExperimentConfig, experiment: ExperimentFolder, tracker: Tracker) -> None:
    """Bring an experiment to its end, wherever it stands.

    Raises:
        UserError: the folder holds another experiment of this name.
    """
    from iqa.evaluation.report import RESULTS
    from iqa.files import read_json
    from iqa.training.checkpoints import BEST, check_same_experiment
    from iqa.training.session import Session, settled

    results = experiment.visualizations / RESULTS
    if results.is_file() and experiment.best.is_file() and experiment.best.stat().st_mtime <= results.stat().st_mtime:
        before = read_json(experiment.config_file)
        check_same_experiment(settled(config, before), before, experiment.config_file)
        print("trained and tested before")
        return
    try:
        train_gpu.train(Session(config, experiment, resume=True), parent=tracker.run_id)
    except Interrupted as stop:
        raise Interrupted(f"{str(stop).splitlines()[0]}\n  continue: the same command") from None
    test_with_viz.evaluate(experiment, config, BEST, skip_tsne=False)


def write(found: dict[str, Any], folder: Path, tracker: Tracker) -> None:
    """comparison.json, .csv, .md and .png, also as artifacts, and the figures of each experiment as metrics."""
    import pandas as pd

    from iqa.evaluation.comparison import as_markdown, as_rows
    from iqa.evaluation.plots_comparison import comparison
    from iqa.evaluation.plots_style import save
    from iqa.files import write_json, write_text

    rows = as_rows(found)
    texts = {"comparison.md": as_markdown(found), "comparison.csv": pd.DataFrame(rows).to_csv(index=False)}
    write_json(folder / "comparison.json", found)
    for name, text in texts.items():
        write_text(folder / name, text)
    save(comparison(found), folder / "comparison.png")
    for name in ("comparison.json", *texts):
        tracker.log_files(folder / name)
    tracker.log_pictures(folder)
    tracker.log_metrics({"best_val_srcc": rows[0]["val_srcc"], "test_srcc": rows[0]["srcc"]})
    tracker.log_tags({"best": found["best"]})
    for row in rows:
        tracker.log_metrics({f"{row['name']}/{key}": row[key] for key in ("val_srcc", "srcc", "plcc", "difference")})


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
