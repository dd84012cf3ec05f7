"""Searches settings and says what to set: `iqa tune --config C [--trials N] [--storage URL] [--workers N]`.

The same command on several machines with a shared --storage shares the trials; the same command again goes on where
a study stopped. Writes EXPERIMENTS/<study>-tuning/ and configs/tuned/<study>.json.
"""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import ExitStack
from pathlib import Path

from iqa.commands.cli import parser_for, show_link
from iqa.config.reading import load_config, override_config
from iqa.tuning.workers import Workers, share_processor


def main(arguments: list[str]) -> None:
    options, overrides = read_arguments(arguments)
    config = load_config(options.config, overrides)
    if options.trials is not None:
        config = override_config(config, ["--tuning.trials", str(options.trials)])
    name = options.study or config.experiment_name
    folder = Path(options.output) / f"{name}-tuning"
    crew = Workers(options.workers, config, folder, storage=options.storage, study=name, heartbeat=options.heartbeat)
    os.environ.update(share_processor(options.workers))

    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.tuning.space import read_space
    from iqa.tuning.storage import open_storage, quietly

    read_space(config)
    with quietly(), ExitStack() as helpers:
        storage = open_storage(options.storage, options.heartbeat)
        # They load what they need while this process does.
        helpers.enter_context(crew)
        from iqa.api.calls import Terminal
        from iqa.api.tune import run_study, write_tuned

        findings, link = run_study(config, storage, name, folder, helpers, Terminal(verbose=True), helps=options.helper)
    if options.helper:
        return
    print((folder / "recommendations.md").read_text(encoding="utf-8"))
    print(f"files: {folder}")
    command = shlex.join(["iqa", "tune", *arguments])
    target = write_tuned(config, findings, Path(options.tuned) / f"{name}.json", command)
    print(f"\ntuned config: {target}\ntrain it: iqa train --config {target}")
    show_link(link)


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for(
        "tune", __doc__, "Any setting can be given by its dotted name, such as --tuning.confirmations 5."
    )
    parser.add_argument(
        "--config",
        default="configs/quick_test.json",
        help="JSON file, or the name of a standard experiment (default: %(default)s)",
    )
    parser.add_argument("--trials", type=int, help="trials of the whole study (default: the config's tuning.trials)")
    parser.add_argument("--storage", default="sqlite:///optuna.db", help="where the study is (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes of this machine that share the trials; one per core pays where the backbone is frozen "
        "(default: %(default)s)",
    )
    parser.add_argument("--helper", action="store_true", help=argparse.SUPPRESS)  # one of another command's workers
    parser.add_argument("--study", default="", help="its name (default: the config's experiment_name)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    parser.add_argument("--tuned", default="configs/tuned", help="folder of tuned configs (default: %(default)s)")
    parser.add_argument(
        "--heartbeat", type=int, default=20, help="seconds between signs of life (default: %(default)s)"
    )
    return parser.parse_known_args(arguments)
