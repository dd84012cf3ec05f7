"""What training adds: SRCC on the test pictures before the first epoch and after the last, over seeds.

    python benchmarks/learns.py [--config configs/quick_test.json] [--seeds 3] [--section.key value ...]

The untrained model has the same pretrained backbone and a head of random weights; `--model.n_clusters 0` gives the
control without a mixture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from iqa import metrics
from iqa.commands.cli import run_command
from iqa.config.reading import load_config, override_config
from iqa.device import autocast
from iqa.training.checkpoints import ExperimentFolder, load_checkpoint
from iqa.training.session import Session


def test_scores(session: Session) -> tuple[float, float]:
    """SRCC and PLCC of the session's model, as it is now, on its test pictures."""
    trainer, store = session.trainer, session.store
    session.model.eval()
    with torch.inference_mode(), autocast(session.device, trainer.precision):
        parts = [trainer.feed.predict(session.model, x).score.float().cpu() for x in trainer.feed.inputs("test")]
    predicted, true = torch.cat(parts).numpy(), store.scores[store.indices("test")].numpy()
    return metrics.srcc(predicted, true), metrics.plcc(predicted, true)


def before_and_after(config_file: str, seed: int, overrides: list[str], scratch: Path) -> tuple[float, ...]:
    """Test SRCC and PLCC of the untrained model, then of the best epoch by validation."""
    config = override_config(load_config(config_file, overrides), ["--training.seed", str(seed)])
    session = Session(config, ExperimentFolder(scratch / str(seed)))
    untrained = test_scores(session)
    session.claim_folder()
    for _ in session.run():
        pass
    session.model.load_state_dict(load_checkpoint(session.folder.best)["model"])
    return *untrained, *test_scores(session)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/quick_test.json")
    parser.add_argument("--seeds", type=int, default=3)
    options, overrides = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        table = np.array(
            [before_and_after(options.config, seed, overrides, Path(scratch)) for seed in range(options.seeds)]
        )
    print("seed  untrained SRCC  PLCC    trained SRCC  PLCC")
    for seed, row in enumerate(table):
        print(f"{seed:4}  {row[0]:14.3f}  {row[1]:5.3f}  {row[2]:12.3f}  {row[3]:5.3f}")
    mean, spread = table.mean(0), table.std(0)
    print(f"mean  {mean[0]:8.3f}±{spread[0]:.3f}  {mean[1]:5.3f}  {mean[2]:6.3f}±{spread[2]:.3f}  {mean[3]:5.3f}")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
