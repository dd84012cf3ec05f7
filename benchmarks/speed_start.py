"""Seconds until a command that computes nothing answers: `--help`, and a setting that does not exist.

Every time is that of a whole process, Python's own start included, which stands in a row of its own. Neither answer
may wait for torch, mlflow and the like, which take seconds to import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from timing import LeftOut, Options, Row, in_turns

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "quick_test.json"
FAULT = "--model.backbne"
#: Commands that read a config, and so can be given a faulty one.
CONFIGURED = ("train_gpu", "tune_optuna")
AIMS = {"--help": "< 0.5", FAULT: "< 1"}


def measure(options: Options) -> list[Row]:
    """One row for each command and question."""
    commands = {
        "python -c pass": (["-c", "pass"], 0),
        **{f"{path.stem} --help": ([str(path), "--help"], 0) for path in scripts()},
        **{
            f"{name} {FAULT}": ([str(ROOT / "pipelines" / f"{name}.py"), "--config", str(CONFIG), FAULT, "x"], 2)
            for name in CONFIGURED
        },
    }
    works = {name: partial(answer, *command, folder=options.scratch) for name, command in commands.items()}
    timed = in_turns(works, options.rounds, torch.device("cpu"))
    return [
        Row("start", name, timing.median, *timing.interval(), "s", AIMS.get(name.rpartition(" ")[2], ""))
        for name, timing in timed.items()
    ]


def scripts() -> list[Path]:
    """The pipelines that are commands."""
    found = sorted((ROOT / "pipelines").glob("*.py"))
    return [path for path in found if "run_command(main" in path.read_text(encoding="utf-8")]


def answer(arguments: Sequence[str], exit_code: int, folder: Path) -> None:
    """Run Python with these arguments in `folder`, which a command may write to.

    Raises:
        LeftOut: it did not end as it should, so that its time says nothing.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != exit_code:
        raise LeftOut(f"{' '.join(arguments)} ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
