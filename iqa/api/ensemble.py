"""`iqa.ensemble`: experiments judged as one, by the mean of their scores: models that differ err differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iqa.api.calls import Terminal, as_found, logged_here, places
from iqa.api.evaluate import SCATTER, headline, judge, log_report, log_test_pictures, log_tested_model, place_of
from iqa.api.repeats import log_summary, test_figures
from iqa.api.report import write_report
from iqa.api.results import EvaluationResult, RepeatsResult, TrainingResult
from iqa.config import ExperimentConfig
from iqa.config.reading import with_settings
from iqa.deploy.card import write_card
from iqa.errors import UserError
from iqa.estimate import about, in_turn
from iqa.evaluation.description import description
from iqa.evaluation.evaluated import Evaluated, together
from iqa.evaluation.report import RESULTS
from iqa.files import experiment_label, split_folder
from iqa.forecast import forecast
from iqa.metrics import scores
from iqa.scoring.ensemble import read_members, write_members
from iqa.tracking import open_run
from iqa.tracking.models.logged import checkpoints, digest_of
from iqa.training.checkpoints import BEST, ExperimentFolder


@dataclass(frozen=True)
class Job:
    """One ensemble: where it is, of what, and how it is judged."""

    folder: Path
    members: list[Path]
    settings: Mapping[str, Any]
    skip_tsne: bool
    terminal: Terminal

    def configs(self) -> list[ExperimentConfig]:
        """Each member's config, under the overrides."""
        return [with_settings(ExperimentFolder(member).read_config(), self.settings) for member in self.members]

    def split(self, number: int) -> Job:
        """The ensemble of one split of members that were trained on several."""
        members = [split_folder(member, number) for member in self.members]
        return replace(self, folder=split_folder(self.folder, number), members=members, skip_tsne=True)


@as_found
def ensemble(
    experiments: Sequence[str | Path | TrainingResult],
    *,
    settings: Mapping[str, Any] | None = None,
    name: str = "",
    output: str | Path = "experiments",
    skip_tsne: bool = False,
    verbose: bool = False,
) -> EvaluationResult | RepeatsResult:
    """Judge experiments as one, on the same test pictures; those trained on several splits, split by split.

    Writes `output`/<name>/, which scoring takes for a model, with the report that a test writes.

    Args:
        experiments: folders of two or more, or what `iqa.train` returned.
        settings: of their data, by dotted names, as in a test: {"data.root": FOLDER}.
        name: of the ensemble; theirs, joined by +, if none is given.
        skip_tsne: leave out t-SNE, the slowest figure.
        verbose: print what the command prints.

    Raises:
        UserError: fewer than two, or they were tested on different pictures or numbers of splits.
    """
    members = [Path(each.folder if isinstance(each, TrainingResult) else each) for each in experiments]
    folder = Path(output) / (name or "+".join(experiment_label(member) for member in members))
    check_distinct(folder, members)
    splits = count_splits(members)
    job = Job(folder, members, dict(settings or {}), skip_tsne, Terminal(verbose))
    for single in [job.split(number) for number in range(splits)] or [job]:
        check_same_test(single)
    if verbose:
        _announce(job, splits)
    return judge_splits(job, splits) if splits else judge_together(job, parent=None)


def _announce(job: Job, splits: int) -> None:
    """The first line."""
    configs = job.split(0).configs() if splits else job.configs()
    load = in_turn(forecast(each, trains=False, logged_here=logged_here(each)) for each in configs)
    each_split = f", {splits} splits" if splits else ""
    what = f"{' and '.join(map(about, configs))} on {configs[0].data.dataset} ({load.pictures}){each_split}"
    job.terminal.begins("ensemble", what, load, places(configs[0], job.folder, load))


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
    job.configs()
    if any(key.startswith("data.") and key != "data.root" for key in job.settings):
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


@contextmanager
def claimed(job: Job) -> Iterator[None]:
    """Make the folder that of this ensemble; another experiment of its name is kept aside.

    What fails before anything was judged leaves the folder as it was.
    """
    known = read_members(job.folder)
    if known is not None and [member.resolve() for member in known] == [member.resolve() for member in job.members]:
        yield
        return
    with ExperimentFolder(job.folder).claimed(RESULTS):
        job.folder.mkdir(parents=True, exist_ok=True)
        write_members(job.folder, job.members)
        yield


def judge_splits(job: Job, splits: int) -> RepeatsResult:
    """Judge the ensemble of every split, as children of one MLflow run."""
    figures = []
    with (
        claimed(job),
        open_run(
            job.split(0).configs()[0],
            role="ensemble",
            name=experiment_label(job.folder),
            directory=job.folder,
            tags={"repeats": splits},
        ) as tracker,
    ):
        tracker.log_params({"members": _named(job.members)})
        for number in range(splits):
            job.terminal.say(f"split {number + 1} of {splits}")
            figures.append(test_figures(judge_together(job.split(number), parent=tracker.run_id).results))
        summary = log_summary(tracker, job.folder, figures)
        return RepeatsResult(experiment_label(job.folder), job.folder, summary, tracker.link)


def judge_together(job: Job, *, parent: str | None) -> EvaluationResult:
    """Judge the members on the same pictures, and report on the mean of their scores.

    Raises:
        UserError: the members were tested on different pictures.
    """
    each = job.configs()
    answers: list[Evaluated] = []
    for member, config in zip(job.members, each, strict=True):
        answers.append(judge(ExperimentFolder(member), config, BEST, progress=job.terminal.bars))
        reached = scores(answers[-1].predicted, answers[-1].true)["srcc"]
        job.terminal.say(f"  {member}: SRCC {reached:.4f}")
    evaluated = together(answers)
    place, label = place_of(job.folder, evaluated, each[0])
    # Its own test makes an ensemble what it is; that of another data set is one more test of it.
    own = evaluated.trained_on is None
    with (
        claimed(job),
        open_run(
            each[0],
            role="ensemble" if own else "evaluate",
            name=f"{experiment_label(job.folder)}-{label}",
            parent=parent,
            directory=job.folder,
            tags={"backbone": " and ".join(config.model.backbone for config in each)},
        ) as tracker,
    ):
        tracker.log_params({"members": _named(job.members)})
        report = write_report(
            evaluated,
            [],
            job.folder / place,
            best_epoch=None,
            skip_tsne=job.skip_tsne,
            seed=each[0].training.seed,
            progress=job.terminal.bars,
        )
        job.terminal.say(f"  together: SRCC {report.results['metrics']['srcc']['value']:.4f}")
        log_report(tracker, job.folder, place, pictures=True)
        dataset = log_test_pictures(tracker, evaluated, each[0])
        write_card(job.folder)
        if own and parent is None:
            tracker.log_served_model(job.folder)
        checkpoint = digest_of(checkpoints(job.folder))
        log_tested_model(tracker, job.folder, place, headline(report.results, label), checkpoint, dataset)
        picture = tracker.log_preview(job.folder / place / SCATTER)
        tracker.describe(description(report.results, each[0], picture=picture, members=list(map(str, job.members))))
    return EvaluationResult(experiment_label(job.folder), job.folder / place, report, [], tracker.link)


def _named(members: list[Path]) -> str:
    """The members in one line."""
    return ", ".join(str(member) for member in members)
