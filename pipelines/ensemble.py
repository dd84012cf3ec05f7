"""Judges several experiments as one: `python pipelines/ensemble.py --experiments A B [--name N]`.

The ensemble's score is the mean of its members' scores: models that differ err differently. Writes experiments/<N>/,
which scoring takes for a model, with the report that a test writes. Experiments of --repeats are put together split by
split.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.cli import add_flag, listed, run_command
from iqa.config_file import override_config, parse_overrides
from iqa.errors import UserError
from iqa.files import experiment_label, split_folder
from pipelines.repeats import log_summary, test_figures
from pipelines.repeats import show as show_splits
from pipelines.test_with_viz import headline, judge, log_report, place_of, show

if TYPE_CHECKING:
    from iqa.config import ExperimentConfig
    from iqa.evaluation.evaluated import Evaluated


@dataclass(frozen=True)
class Job:
    """One ensemble: where it is, of what, and how it is judged."""

    folder: Path
    members: list[Path]
    overrides: list[str]
    skip_tsne: bool

    def configs(self) -> list[ExperimentConfig]:
        """Each member's config, under the overrides."""
        from iqa.training.checkpoints import ExperimentFolder

        return [override_config(ExperimentFolder(member).read_config(), self.overrides) for member in self.members]

    def split(self, number: int) -> Job:
        """The ensemble of one split of members that were trained on several."""
        members = [split_folder(member, number) for member in self.members]
        return Job(split_folder(self.folder, number), members, self.overrides, skip_tsne=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="The data can be overridden as in a test, such as --data.root FOLDER.",
        allow_abbrev=False,
    )
    parser.add_argument("--experiments", nargs="+", required=True, help="folders of experiments, two or more")
    parser.add_argument("--name", default="", help="of the ensemble (default: theirs, joined by +)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    add_flag(parser, "--skip_tsne", "leave out t-SNE, the slowest figure")
    options, overrides = parser.parse_known_args(arguments)
    members = [Path(name) for name in listed(options.experiments)]
    folder = Path(options.output) / (options.name or "+".join(experiment_label(member) for member in members))
    check_distinct(folder, members)
    splits = count_splits(members)
    job = Job(folder, members, overrides, options.skip_tsne)
    for single in [job.split(number) for number in range(splits)] or [job]:
        check_same_test(single)
    if splits:
        show_splits(judge_splits(job, splits))
    else:
        show(*judge_together(job, parent=None))


def check_distinct(folder: Path, members: list[Path]) -> None:
    """Two members or more, each once, and none of them in the ensemble's own folder.

    Raises:
        UserError: it is not so.
    """
    if len({member.resolve() for member in members}) < max(2, len(members)):
        raise UserError(
            "an ensemble has two members or more, each once",
            got=" ".join(map(str, members)),
            fix="--experiments experiments/biq2021_frozen experiments/biq2021_finetuned",
        )
    if folder.resolve() in {member.resolve() for member in members}:
        raise UserError("an ensemble cannot have the name of a member", got=folder, fix="give it another --name")


def check_same_test(job: Job) -> None:
    """Members that saw the data that they are judged on: one test split, which none of them was trained on.

    Raises:
        UserError: a member is no experiment, has no such setting, or was tested on other pictures.
    """
    from iqa.training.checkpoints import ExperimentFolder

    job.configs()
    if any(key.startswith("data.") and key != "data.root" for key, _ in parse_overrides(job.overrides)):
        return  # of another data set all is judged, and `together` sees to it that it is the same for all
    tests = []
    for member in job.members:
        manifest = ExperimentFolder(member).read_manifest()
        if manifest is None:
            return  # `together` notices later
        tests.append(set(manifest.loc[manifest["split"] == "test", "image"]))
    for member, test in zip(job.members[1:], tests[1:], strict=True):
        if test != tests[0]:
            raise UserError(
                f"{job.members[0]} and {member} were tested on different pictures",
                got=f"{len(tests[0])} and {len(test)} test pictures, {len(tests[0] & test)} of one name",
                fix="train them with the same data section, split_seed included",
            )


def count_splits(members: list[Path]) -> int:
    """How many splits every member was trained on by --repeats; 0 if each is a single training.

    Raises:
        UserError: they differ in that.
    """
    counts = []
    for member in members:
        count = 0
        while (split_folder(member, count) / "config.json").is_file():
            count += 1
        counts.append(count)
    if len(set(counts)) > 1:
        raise UserError(
            "the experiments were trained on different numbers of splits",
            got=", ".join(
                f"{member}: {count or 'a single training'}" for member, count in zip(members, counts, strict=True)
            ),
            fix="train each with the same --repeats",
        )
    return counts[0]


def claim(job: Job) -> None:
    """Make the folder that of this ensemble; another experiment of its name is kept aside."""
    from iqa.scoring.ensemble import read_members, write_members
    from iqa.training.checkpoints import ExperimentFolder

    known = read_members(job.folder)
    if known is None or [member.resolve() for member in known] != [member.resolve() for member in job.members]:
        if aside := ExperimentFolder(job.folder).keep_aside():
            print(f"an earlier {job.folder.name} is kept as {aside}")
        job.folder.mkdir(parents=True, exist_ok=True)
        write_members(job.folder, job.members)


def judge_splits(job: Job, splits: int) -> dict[str, Any]:
    """Judge the ensemble of every split, as children of one MLflow run; returns what `repeats.json` holds."""
    from iqa.tracking import open_run

    claim(job)
    figures = []
    with open_run(
        job.split(0).configs()[0],
        role="evaluate",
        name=experiment_label(job.folder),
        directory=job.folder,
        tags={"repeats": splits},
    ) as tracker:
        tracker.log_params({"members": named(job.members)})
        for number in range(splits):
            print(f"split {number + 1} of {splits}", flush=True)
            single = job.split(number)
            results, _ = judge_together(single, parent=tracker.run_id)
            figures.append(test_figures(results))
        return log_summary(tracker, job.folder, figures)


def judge_together(job: Job, *, parent: str | None) -> tuple[dict[str, Any], Path]:
    """Judge the members on the same pictures, and report on the mean of their scores.

    Returns:
        What test_results.json holds, and the folder that it is in.

    Raises:
        UserError: the members were tested on different pictures.
    """
    from iqa.evaluation.evaluated import together
    from iqa.evaluation.report import write_report
    from iqa.metrics import scores
    from iqa.tracking import open_run
    from iqa.training.checkpoints import BEST, ExperimentFolder

    each = job.configs()
    answers: list[Evaluated] = []
    for member, config in zip(job.members, each, strict=True):
        answers.append(judge(ExperimentFolder(member), config, BEST))
        print(f"  {member}: SRCC {scores(answers[-1].predicted, answers[-1].true)['srcc']:.4f}", flush=True)
    evaluated = together(answers)
    claim(job)
    place, label = place_of(evaluated, each[0])
    with open_run(
        each[0],
        role="evaluate",
        name=f"{experiment_label(job.folder)}-{label}",
        parent=parent,
        directory=job.folder,
        tags={"backbone": " and ".join(config.model.backbone for config in each)},
    ) as tracker:
        tracker.log_params({"members": named(job.members)})
        results = write_report(
            evaluated,
            [],
            job.folder / place,
            best_epoch=None,
            skip_tsne=job.skip_tsne,
            seed=each[0].training.seed,
        )
        print(f"  together: SRCC {results['metrics']['srcc']['value']:.4f}", flush=True)
        log_report(tracker, job.folder, place, headline(results, f"{label}_"), pictures=True)
    return results, job.folder / place


def named(members: list[Path]) -> str:
    """The members in one line."""
    return ", ".join(str(member) for member in members)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
