"""How much of what a whole run takes is arithmetic that no loop could do without?

    python benchmarks/speed_run.py [--quick]        # 15 minutes on two cores

    R_run = pictures trained on * bare seconds a picture / wall seconds of `mlflow run . -e train` and `-e evaluate`

on a copy of the project with an empty cache and an empty MLflow store: 50 epochs of 2,000 CIFAR-10 pictures with
configs/resnet18_gmm_mlp.json from random weights. The wall holds all of it: launcher, imports, store, preparing
pictures, EM, validation, checkpoints, evaluation, t-SNE, figures. Bare is forward, loss, backward and optimiser step of
the same model on one resident batch at its best (helpers/bare.py), right before and right after the run. That is done
once: the interval is the bare step's.

What validation looks at is arithmetic too, and counts in a second row: each picture and its mirror image, forward only.
"""

from __future__ import annotations

from helpers.command import ROOT, speed_parser, tell

# isort: split
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.bare import Bare, Repeated, times
from helpers.timing import LeftOut, Options, Row, Timing, in_turns
from helpers.trainings import need_cifar10

from iqa.commands.cli import run_command
from iqa.config import ExperimentConfig
from iqa.config.reading import load_config
from iqa.data.prepared import prepare
from iqa.errors import IqaError
from iqa.files import read_json, write_json
from iqa.training.build import build_model, input_size, start_backbone

#: What `mlflow run .` needs of the project.
COPIED = ("iqa", "MLproject", "conda.yaml")
CONFIG = "configs/resnet18_gmm_mlp.json"
QUICK = {
    "data.train_samples": 64, "data.val_samples": 16, "data.test_samples": 16, "data.batch_size": 32,
    "training.epochs": 2,
}  # fmt: skip


def measure(options: Options) -> list[Row]:
    """The share, the wall, and where it went."""
    if importlib.util.find_spec("mlflow") is None:
        raise LeftOut("needs the package mlflow")
    need_cifar10(options)
    config = run_config(options)
    project, bare = Project(config, options.scratch / "project"), Seen(config, options)
    bare.time()
    train = project.seconds("train", config=project.config)
    evaluate = project.seconds("evaluate", experiment=project.experiment)
    bare.time()
    return rows(config, bare, Wall(train, evaluate, project.epoch_seconds()))


def run_config(options: Options) -> ExperimentConfig:
    settings = {
        "data.root": options.cifar10.resolve(),
        "model.pretrained": "false",
        "training.device": options.device,
        **(QUICK if options.quick else {}),
    }
    return load_config(ROOT / CONFIG, [text for key, value in settings.items() for text in (f"--{key}", str(value))])


class Project:
    """A copy of the project in an empty folder, and `mlflow run` in it; nothing is written elsewhere."""

    def __init__(self, config: ExperimentConfig, folder: Path) -> None:
        self._folder = folder
        self.config, self.experiment = "run.json", f"experiments/{config.experiment_name}"
        folder.mkdir(parents=True)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        write_json(folder / self.config, config.to_dict())
        # Settings of a user's own tracking would lead elsewhere.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self._environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
            "PYTHONPATH": str(folder.resolve()),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder.resolve()}/mlflow.db",
            "IQA_CACHE": str(folder.resolve() / "cache"),
        }

    def seconds(self, entry: str, **parameters: str) -> float:
        """Wall seconds of `mlflow run . -e entry -P name=value ...`.

        Raises:
            IqaError: it failed.
        """
        given = [text for name, value in parameters.items() for text in ("-P", f"{name}={value}")]
        command = [sys.executable, "-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local", *given]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=self._folder, env=self._environment, capture_output=True, text=True)
        spent = time.perf_counter() - began
        if done.returncode:
            raise IqaError(f"mlflow run -e {entry} failed", got=(done.stdout + done.stderr).strip()[-500:])
        return spent

    def epoch_seconds(self) -> float:
        """Of the training that was run, training and validation alone."""
        history = read_json(self._folder / self.experiment / "training_history.json")
        return float(sum(epoch["seconds"] for epoch in history["epochs"]))


class Seen:
    """The run's model on one resident batch: seconds a picture of a bare step and of a look, as often as timed."""

    def __init__(self, config: ExperimentConfig, options: Options) -> None:
        # A cache of its own: the run's is to be empty.
        data = config.data.model_copy(update={"cache_dir": str(options.scratch / "bare")})
        store = prepare(data, progress=False)
        pictures = store.indices("train")[: data.batch]
        self.side = input_size(config, store)
        model = build_model(config, start_backbone(config, self.side), self.side, options.device)
        images, scores = store.images[pictures].to(options.device), store.scores[pictures].to(options.device)
        bare = Bare(config, images, scores)
        self.way, _ = bare.best_way(model)
        works = {"step": bare.quality(model, self.way), "look": bare.forward(model, self.way)}
        self._works = {name: Repeated(work, options) for name, work in works.items()}
        self._options, self._pictures = options, len(pictures)
        self.steps: list[float] = []
        self.looks: list[float] = []

    def time(self) -> None:
        """Some more rounds of both."""
        timed = in_turns(self._works, self._options.rounds, self._options.device)
        for name, found in (("step", self.steps), ("look", self.looks)):
            found += times(timed[name], 1 / (self._works[name].times * self._pictures)).seconds


@dataclass(frozen=True)
class Wall:
    """Seconds of both commands, and of the epochs within the first."""

    train: float
    evaluate: float
    epochs: float

    @property
    def whole(self) -> float:
        return self.train + self.evaluate


def rows(config: ExperimentConfig, bare: Seen, wall: Wall) -> list[Row]:
    data, epochs = config.data, config.training.epochs
    batch = min(data.batch, data.samples("train") or data.batch)
    trained = epochs * ((data.samples("train") or 0) // batch * batch)
    looked = epochs * (data.samples("val") or 0) * (2 if config.model.mirror else 1)
    share = Timing(tuple(trained * step / wall.whole for step in bare.steps))
    both = zip(bare.steps, bare.looks, strict=True)
    with_looks = Timing(tuple((trained * step + looked * look) / wall.whole for step, look in both))
    note = f"{epochs} epochs of {trained // epochs:,} pictures at {bare.side} px; bare: {bare.way}"
    spent = (
        f"train {wall.train:.0f} s, of which epochs {wall.epochs:.0f} s; evaluate {wall.evaluate:.0f} s; "
        f"bare {1 / Timing(tuple(bare.steps)).median:.0f} pictures/s"
    )
    aim = ">= 0.3" if config.training.device.startswith("cuda") else ">= 0.7"
    return [
        Row("R_run", share.median, *share.interval(), "", aim, note),
        Row("R_run, validation counted", with_looks.median, *with_looks.interval(), "", "", note),
        Row("wall of both commands", wall.whole, wall.whole, wall.whole, "s", "", spent),
    ]


def main(arguments: list[str]) -> None:
    tell(measure, speed_parser(__doc__).parse_args(arguments))


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
