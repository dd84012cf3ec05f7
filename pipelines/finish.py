"""An experiment brought to its end from wherever it stands: what repeats and comparisons do with each of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines import test_with_viz, train_gpu

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.training.checkpoints import ExperimentFolder


def finish(config: ExperimentConfig, experiment: ExperimentFolder, *, parent: str | None, skip_tsne: bool) -> None:
    """Train `config` in the folder `experiment` and test it, as far as that is not done yet.

    Args:
        parent: id of the MLflow run that the training is a child of.
        skip_tsne: draw no t-SNE, which takes a test longest.

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
    train_gpu.train(Session(config, experiment, resume=True), parent=parent)
    test_with_viz.evaluate(experiment, config, BEST, skip_tsne=skip_tsne)
