"""`iqa.promote`: a model becomes the one that others rely on by name, if it is not worse than the one that is it today.

Both were tested on the same pictures, and are compared as `iqa.compare` does: the difference of their SRCC, with a 95 %
interval by drawing contents anew, both resampled together. The candidate is promoted if that difference is at least
minus `margin`, and its interval does not lie wholly below zero.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iqa.errors import UserError, cut
from iqa.evaluation.comparison import difference_in_pictures, differences
from iqa.evaluation.report import CONFIDENCE, TABLE
from iqa.evaluation.tested import Contender, read_test
from iqa.files import split_folder
from iqa.scoring.ensemble import read_members
from iqa.tracking import read_run_note
from iqa.tracking.models.fetching import SCHEMES
from iqa.tracking.models.registry import Logged, Registry
from iqa.tracking.sending.delivery import PENDING
from iqa.tracking.store import good_manners, tracking_uri
from iqa.training.checkpoints import ExperimentFolder

#: How much SRCC a candidate may lack, and the alias of the model that is relied on.
MARGIN, CHAMPION = 0.005, "champion"
#: What MLflow takes for a name or an alias, and what a filter can name.
NAME, ALIAS = re.compile(r"\w([\w.\- ]{0,200}\w)?"), re.compile(r"(?!latest$|[vV]\d+$)[\w\-]{1,200}")


@dataclass(frozen=True)
class Decision:
    """Whether a candidate takes an alias, and why.

    Attributes:
        verdict: "first", "not worse", "worse", "cannot be told", or "not comparable".
        why: in words, with the figures.
        figures: what it rests on, by name; kept as tags.
        forced: whether it was promoted in spite of the verdict.
    """

    verdict: str
    why: str
    figures: dict[str, Any]
    forced: bool = False

    @property
    def passes(self) -> bool:
        return self.forced or self.verdict in ("first", "not worse")

    def __str__(self) -> str:
        return self.why + ", and promoted by --force" * self.forced


@dataclass(frozen=True)
class Promotion:
    """What became of a promotion that was not refused.

    Attributes:
        name, alias, version: where the model stands in the registry now.
        before: the version that had the alias; None where none had it, or this one had it already.
        decision: why; None where there was nothing to decide, because this one had it already.
    """

    name: str
    alias: str
    version: str
    before: str | None
    decision: Decision | None

    def __str__(self) -> str:
        where = f"{self.name}@{self.alias}"
        if self.decision is None:
            return f"version {self.version} is {where} already"
        took = f" in place of version {self.before}" if self.before else ""
        return f"{where} is version {self.version}{took}: {self.decision}"


def promote(
    model: str | Path, to: str, *, margin: float = MARGIN, force: bool = False, verbose: bool = False
) -> Promotion:
    """Register a model in MLflow and give it an alias, if it is not worse than the model that has the alias today.

    A refused model is not registered, and nothing is changed. The decision is kept as tags of the version, and in its
    description, before the model's card.

    Args:
        model: a tested experiment's or ensemble's folder, `runs:/<run id>`, `models:/<model id>` or
            `models:/<name>/<version>`.
        to: name in the registry, or name@alias; the alias is "champion" where none is given.
        margin: SRCC that it may lack, 0 to 1.
        force: promote it whatever the comparison says; that is recorded.
        verbose: print what the command prints.

    Raises:
        UserError: it is worse, or was tested on other pictures, or not at all; there is no such model or name.
        IqaError: MLflow's server does not answer.
    """
    name, alias = read_target(to)
    if not 0 <= margin <= 1:
        raise UserError("--margin is a difference in SRCC", got=margin, expected="0 to 1")
    with good_manners():
        uri, address = find_run(model)
        registry = Registry(address)
        with registry.claimed(), tempfile.TemporaryDirectory(prefix="iqa-promote-") as folder:
            done = _promote(
                registry, Candidate(str(model), registry.find(uri), Path(folder)), name, alias, margin, force
            )
    if verbose:
        print(done)
        if done.decision and "difference" in done.decision.figures:
            print(f"asked for: {rule(margin)}")
    return done


def read_target(to: str) -> tuple[str, str]:
    """Name and alias of "name" or "name@alias".

    Raises:
        UserError: MLflow would not take them.
    """
    name, mark, alias = to.partition("@")
    alias = alias if mark else CHAMPION
    if not NAME.fullmatch(name) or not ALIAS.fullmatch(alias):
        raise UserError(
            "--to names no place in the registry",
            got=cut(repr(to)),
            expected=f"a name, or name@alias; letters, digits and . - _, with {CHAMPION} as the usual alias",
            fix=f"--to photos, or --to photos@{CHAMPION}",
        )
    return name, alias


def find_run(model: str | Path) -> tuple[str, str]:
    """The name in MLflow of what is to be promoted, and the address of its store.

    Raises:
        UserError: there is no such experiment, or MLflow does not know of it (yet).
    """
    if str(model).startswith(SCHEMES):
        return str(model), tracking_uri()
    folder = Path(model)
    if split_folder(folder, 0).is_dir():
        first = split_folder(folder, 0)
        raise UserError(f"{folder} holds several splits, each a model of its own", fix=f"take one: {first}")
    wanted = None if read_members(folder) else ExperimentFolder(folder).read_config().tracking.uri
    note = read_run_note(folder)
    if not note or (folder / PENDING).exists():
        raise UserError(
            f"MLflow has no record of {folder}" if not note else f"MLflow has not got all of {folder} yet",
            expected="an experiment or an ensemble that was made and tested with tracking on",
            fix=f"iqa evaluate --experiment {folder}" if note else "make it again with --tracking.enabled true",
        )
    return f"runs:/{note['run_id']}", tracking_uri(wanted, note.get("tracking_uri"))


@dataclass(frozen=True)
class Candidate:
    """What is to be promoted.

    Attributes:
        called: as the user named it.
        folder: an empty one, for what is fetched.
    """

    called: str
    model: Logged
    folder: Path

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A folder of its own for a download."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            yield Path(place)


def _promote(registry: Registry, candidate: Candidate, name: str, alias: str, margin: float, force: bool) -> Promotion:
    """Compare, register, move the alias; anew as often as another promotion was quicker.

    Raises:
        UserError: it is not promoted; nothing is changed.
    """
    ours = _test(registry, candidate.model, candidate, candidate.called)
    if ours is None:
        raise UserError(
            f"{candidate.called} was not tested, so that nobody knows how good it is",
            fix=f"iqa evaluate --experiment {candidate.called}",
        )
    version, is_new = "", False
    while True:
        holder = registry.holder(name, alias)
        if holder is not None and holder.model_id == candidate.model.model_id:
            return Promotion(name, alias, str(holder.version), None, None)
        decision = _decide(registry, candidate, ours, holder, f"{name}@{alias}", margin)
        decision = replace(decision, forced=force and not decision.passes)
        if not decision.passes:
            if is_new:
                registry.forget(name, version)
            raise refusal(candidate.called, f"{name}@{alias}", decision, margin)
        if not version:
            version, is_new = registry.register(name, candidate.model)
        with candidate.place() as place:
            card = registry.fetch_card(candidate.model, place)
        registry.describe(name, version, tags_of(decision, alias, margin), description(decision, alias, margin, card))
        if registry.holder(name, alias) == holder:
            registry.move(name, alias, version)
            return Promotion(name, alias, version, holder.version if holder else None, decision)


def _test(registry: Registry, model: Logged, candidate: Candidate, called: str) -> Contender | None:
    """What the test of a model found; None where there was none."""
    with candidate.place() as place:
        found = registry.fetch_test(model, place)
        if found is None or not (found / TABLE).is_file():
            return None
        return Contender({"name": called}, *read_test(found))


def _decide(
    registry: Registry, candidate: Candidate, ours: Contender, holder: Logged | None, where: str, margin: float
) -> Decision:
    if holder is None:
        return Decision("first", f"the first {where}, with nothing to compare it with", {})
    theirs = _test(registry, holder, candidate, f"version {holder.version}")
    return judge(theirs, ours, str(holder.version), margin)


def judge(theirs: Contender | None, ours: Contender, version: str, margin: float) -> Decision:
    """A candidate's test beside that of the version that has the alias.

    Args:
        theirs: None where that version was never tested.
        margin: SRCC that the candidate may lack.
    """
    figures: dict[str, Any] = {"against": version}
    if theirs is None:
        return Decision("not comparable", f"version {version} was never tested", figures)
    if different := difference_in_pictures(theirs, ours):
        why = f"version {version} was tested on other pictures or scores ({different})"
        return Decision("not comparable", why, figures)
    (_, found) = differences([theirs, ours])
    before, now = (each.results["metrics"]["srcc"]["value"] for each in (theirs, ours))
    figures |= {"pictures": len(ours.table), "srcc": now, "srcc_before": before}
    on = f"on the same {len(ours.table)} test pictures"
    if found is None or found["value"] is None:
        return Decision("cannot be told", f"too few contents to compare it with version {version} {on}", figures)
    figures |= {"difference": found["value"], "low": found["low"], "high": found["high"], "confidence": CONFIDENCE}
    worse = found["verdict"] == "worse" or found["value"] < -margin
    why = (
        f"{'worse' if worse else 'not worse'} than version {version}: SRCC {now:.4f} against {before:.4f} {on}, "
        f"difference {found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    )
    return Decision("worse" if worse else "not worse", why, figures)


def refusal(called: str, where: str, decision: Decision, margin: float) -> UserError:
    """Why a candidate is not promoted."""
    same = "both tested on the same pictures, with the same scores"
    return UserError(
        f"{called} is not promoted to {where}; nothing was registered or moved",
        got=decision.why,
        expected=same if decision.verdict == "not comparable" else rule(margin),
        fix="test both on the same pictures, or --force"
        if decision.verdict == "not comparable"
        else "train a better one, allow more by --margin, or --force",
    )


def rule(margin: float) -> str:
    """When a candidate counts as not worse."""
    share = f"{100 * CONFIDENCE:.0f} %"
    return f"a difference of {-margin:g} or more, and a {share} interval that does not lie wholly below zero"


def tags_of(decision: Decision, alias: str, margin: float) -> dict[str, object]:
    """The decision as tags of a version."""
    told = {"alias": alias, "verdict": decision.verdict, "forced": str(decision.forced).lower(), "margin": margin}
    return {
        key: f"{value:.4f}" if isinstance(value, float) and key != "margin" else value
        for key, value in (told | decision.figures).items()
    }


def description(decision: Decision, alias: str, margin: float, card: str) -> str:
    """What a version says of itself: how it got the alias, and the model's card without its front matter."""
    text = re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)
    asked = f" Asked for: {rule(margin)}." if "difference" in decision.figures else ""
    return f"{alias}: {decision}.{asked}\n\n{text}".strip()
