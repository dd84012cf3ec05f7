"""Trains and tests several configs under one MLflow run and says which is really better.

    python pipelines/compare_backbones.py --configs A.json B.json ... [--name N] [--section.key value ...]

With --repeats N each is trained on N splits with other seeds, and the differences are judged over the splits. What is
trained and tested already is taken as it is, so that the same command goes on where it was stopped. Writes
EXPERIMENTS/<name>-comparison/. An override holds for every config.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import listed, run_command
from iqa.config_file import load_config
from iqa.errors import Interrupted, UserError
from iqa.files import split_folder
from pipelines.finish import finish
from pipelines.repeats import repeat

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.tracking import Tracker

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
    parser.add_argument("--repeats", type=int, default=1, help="train and test each on so many splits (default: 1)")
    options, overrides = parser.parse_known_args(arguments)
    configs = [load_config(path, overrides) for path in listed(options.configs)]
    check_comparable(configs)
    if options.repeats < 1:
        raise UserError("--repeats counts splits", got=options.repeats, expected="1 or more")
    folder = Path(options.output) / f"{options.name}-comparison"
    compare(configs, Path(options.output), folder, options.repeats)
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


def compare(configs: list[ExperimentConfig], output: Path, folder: Path, repeats: int) -> None:
    """Train and test what is not yet, and compare all in `folder`, as children of one MLflow run."""
    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.tracking import open_run, read_run_note

    with open_run(
        configs[0],
        role="compare",
        name=folder.name,
        run_id=read_run_note(folder).get("run_id"),
        directory=folder,
        tags={"backbone": ", ".join(dict.fromkeys(config.model.backbone for config in configs)), "repeats": repeats},
    ) as tracker:
        tracker.log_params({"experiments": ", ".join(config.experiment_name for config in configs)})
        for number, config in enumerate(configs, start=1):
            print(f"\n{number} of {len(configs)}: {config.experiment_name}", flush=True)
            try:
                train_and_test(config, output, repeats, tracker)
            except Interrupted as stop:
                raise Interrupted(f"{str(stop).splitlines()[0]}\n  continue: the same command") from None
        write(judge(configs, output, repeats), folder, tracker)


def train_and_test(config: ExperimentConfig, output: Path, repeats: int, tracker: Tracker) -> None:
    """Bring an experiment to its end, wherever it stands.

    Raises:
        UserError: the folder holds another experiment of this name.
    """
    from iqa.training.checkpoints import ExperimentFolder

    if repeats > 1:
        repeat(config, output, repeats, resume=True, parent=tracker.run_id)
        return
    experiment = ExperimentFolder(output / config.experiment_name)
    if split_folder(experiment.path, 0).exists():
        raise UserError(
            "this folder holds an experiment on several splits, which a single training would be mixed with",
            got=experiment.path,
            fix="compare with --repeats, or give --output another folder",
        )
    finish(config, experiment, parent=tracker.run_id, skip_tsne=False)


def judge(configs: list[ExperimentConfig], output: Path, repeats: int) -> dict[str, Any]:
    """Compare what was trained and tested."""
    from iqa.evaluation.comparison import compare as compare_contenders
    from iqa.evaluation.comparison import read_contender
    from iqa.evaluation.comparison_splits import compare_splits
    from iqa.training.checkpoints import ExperimentFolder

    names = [config.experiment_name for config in configs]
    if repeats == 1:
        return compare_contenders([read_contender(ExperimentFolder(output / name)) for name in names])
    return compare_splits(
        names,
        [
            [read_contender(ExperimentFolder(split_folder(output / name, number))) for number in range(repeats)]
            for name in names
        ],
    )


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
