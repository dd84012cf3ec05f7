"""How far can a study's recommendation be believed?

    python benchmarks/tuning_trust.py [--studies 200] [--workers 2]        # a minute on two cores

Many simulated studies whose truth is known. Each is a whole study: the sampler searches, the best trial's neighbourhood
is confirmed on other splits, the rule recommends. Only the trainings are pretended: validation SRCC is a known function
of learning rate and clusters, plus noise of a split and of a seed. Two truths: one with an optimum (a learning rate
drawn at random, 8 clusters or more), one where nothing matters. Beside the rule stand two plain ones: the best trial's
own values (argmax), and what lies within one standard error of the best confirmed mean.
"""

from __future__ import annotations

from helpers.command import parser_of

# isort: split

import math
import multiprocessing
import sys
from typing import Any

import numpy as np
import optuna
import torch
from helpers.pretended import PretendedBench, Silent, config
from helpers.timing import machine_line

from iqa.commands.cli import run_command
from iqa.config import ExperimentConfig
from iqa.tuning.findings import conclude
from iqa.tuning.search import Search
from iqa.tuning.storage import only_planned, quietly

RATE, CLUSTERS = "training.learning_rate", "model.n_clusters"
#: Standard deviation of validation SRCC over seeds, and over splits; about what was measured on photographs.
NOISE = 0.005
#: SRCC lost at ten times the best learning rate, and without clusters.
RATE_MATTERS, CLUSTERS_MATTER = 0.05, 0.02
ENOUGH_CLUSTERS = 8


def one(task: tuple[int, bool]) -> dict[str, Any]:
    """Simulate a study; whether each way of reading it was right."""
    seed, matters = task
    best_rate = 10 ** np.random.default_rng([seed, 1]).uniform(-3.7, -2.3)

    def truth(settings: ExperimentConfig) -> float:
        if not matters:
            return 0.8
        off = math.log10(settings.training.learning_rate / best_rate)
        lacking = max(0, ENOUGH_CLUSTERS - settings.model.n_clusters) / ENOUGH_CLUSTERS
        return 0.8 - RATE_MATTERS * min(off**2, 4) - CLUSTERS_MATTER * lacking

    base = config(tuning__trials=40, tuning__seed=seed, tuning__prune=False, training__epochs=2)
    bench, observer = PretendedBench(truth, NOISE, seed), Silent()
    with quietly():
        storage = only_planned(optuna.storages.InMemoryStorage())
        search = Search(base, bench, observer, storage, "simulated")
        search.plan()
        search.work()
        findings = conclude(search, bench, observer, storage)
    rate, clusters = findings["settings"][RATE], findings["settings"][CLUSTERS]
    tried = [part["value"] for part in rate["evidence"]]
    nearest = min(tried, key=lambda value: abs(math.log(value / best_rate)))
    argmax = findings["best_trial"]["values"]
    return {
        "rate: in the rule's set": nearest in rate["good"],
        "rate: in the set of one standard error": nearest in _one_standard_error(rate),
        "rate: argmax within half a step": abs(math.log10(argmax[RATE] / best_rate)) < 1 / 6,
        "clusters: in the rule's set": ENOUGH_CLUSTERS in clusters["good"],
        "clusters: in the set of one standard error": ENOUGH_CLUSTERS in _one_standard_error(clusters),
        "clusters: recommended exactly": clusters["value"] == ENOUGH_CLUSTERS,
        "clusters: argmax exactly": argmax[CLUSTERS] == ENOUGH_CLUSTERS,
        "rate: 'no difference' said": rate["no_difference"],
        "rate: 'no difference' by one standard error": len(_one_standard_error(rate)) == len(tried),
        "clusters: 'no difference' said": clusters["no_difference"],
        "clusters: 'no difference' by one standard error": len(_one_standard_error(clusters))
        == len(clusters["evidence"]),
        "rate: values in the rule's set": len(rate["good"]),
        "clusters: values in the rule's set": len(clusters["good"]),
    }


def _one_standard_error(axis: dict[str, Any]) -> list[Any]:
    best = max(axis["evidence"], key=lambda part: part["mean"])
    least = best["mean"] - best["std"] / math.sqrt(best["splits"])
    return [part["value"] for part in axis["evidence"] if part["mean"] >= least]


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--studies", type=int, default=200, help="of each truth (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(machine_line(torch.device("cpu")), flush=True)
    tasks = [(seed, matters) for matters in (True, False) for seed in range(options.studies)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        outcomes = pool.map(one, tasks, chunksize=4)
    print(f"{options.studies} simulated studies of each kind, 40 trials, 3 confirmations, noise {NOISE}\n")
    print(f"{'':<52}{'it matters':>12}{'nothing matters':>18}")
    halves = outcomes[: options.studies], outcomes[options.studies :]
    for name in outcomes[0]:
        with_truth, without = (float(np.mean([outcome[name] for outcome in half])) for half in halves)
        asks_truth = " in the " in name or "argmax" in name or "exactly" in name
        print(f"{name:<52}{with_truth:>12.3f}{'-' if asks_truth and 'values' not in name else f'{without:.3f}':>18}")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
