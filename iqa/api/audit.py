"""`iqa.audit`: a set of pictures and scores looked into before a training, its findings written and logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iqa.api.calls import Terminal, as_found, logged_here, places
from iqa.api.results import AuditResult
from iqa.api.results.pictures import FIGURE, GROUPS, PAGE, REPORT
from iqa.config import ExperimentConfig
from iqa.data.audit import auditing
from iqa.data.audit.auditing import Audit
from iqa.data.audit.named import find_config
from iqa.data.audit.page import page
from iqa.data.audit.twins.groups import groups_to_csv
from iqa.estimate import TRACKING, Forecast
from iqa.files import no_room, write_json, write_text
from iqa.plots.audit import audited
from iqa.plots.style import save_drawn_by
from iqa.progress import one_step
from iqa.tracking import Tracker, check_place, open_run, told_settings

#: Bytes of these for each picture, with room for the thumbnails of the page and for libraries.
EACH, THUMBNAILS, LIBRARIES = 1300, 3 * 10**6, 900 * 10**6
#: Bytes of memory for what is known of each picture, its features the most of it.
KNOWN = 8000
#: What Markdown would take for its own in the name of a file.
MARKS = re.compile(r"([\\`*_\[\]<>|~])")


@as_found
def audit(
    data: str | Path = "",
    *,
    config: str | Path | Mapping[str, Any] | ExperimentConfig | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | Path = "",
    verbose: bool = False,
) -> AuditResult:
    """Look for what would spoil a training: faulty files, copies and series, odd scores, splits too small to judge.

    Writes a report, a page with pictures, a figure, and the groups of pictures that belong together, which the setting
    `data.groups` takes; logs all of it to MLflow.

    Args:
        data: a folder with a table of scores in it, or the table.
        config: audit the data of an experiment instead, as `iqa.train` takes it.
        settings: of data and tracking, by their dotted names: {"data.columns.group": "scene"}; they may name the data.
        output: folder of results; audits/<name> if none is given.
        verbose: print what the command prints while it works.

    Raises:
        UserError: no data are named, or twice; the table or its pictures are not there; scores are not of people.
        IqaError: nothing can be written to the folder of results.
    """
    name, read = find_config(str(data), config, settings)
    found, count = auditing.settle(read.data)
    check_place(read)
    terminal, folder = Terminal(verbose), Path(output or Path("audits") / name)
    if verbose:
        _announce(read, count, folder, terminal)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(folder, error) from error
    with open_run(read, role="audit", name=f"{name}-audit", directory=folder) as tracker:
        told = {key: value for key, value in told_settings(read).items() if key.startswith("data.")}
        tracker.log_params({"set": name, **told})
        done = auditing.audit(found, progress=terminal.bars)
        with one_step("writing the audit", shown=terminal.bars):
            _write(done, name, folder, tracker)
    return AuditResult(name, folder, done, tracker.link)


def _announce(config: ExperimentConfig, count: int, folder: Path, terminal: Terminal) -> None:
    """The first line: how many pictures, what they take, where it writes."""
    held = auditing.HELD * min(auditing.BUFFERED, max(4, config.data.num_workers))
    load = Forecast(
        files=(1 + logged_here(config)) * (THUMBNAILS + EACH * count),
        memory=LIBRARIES + KNOWN * count + held + TRACKING,
    )
    where = [str(folder), "the cache", *places(config, folder)[1:]]
    terminal.begins("audit", f"{count:,} pictures and their scores", load, where)


def _write(done: Audit, name: str, folder: Path, tracker: Tracker) -> None:
    """The report, the groups, the page and the figure; also as artifacts, the figures of the report as metrics."""
    write_json(folder / REPORT, done.to_dict())
    write_text(folder / GROUPS, groups_to_csv(done.names, done.groups))
    write_text(folder / PAGE, page(done, name))
    drawn = save_drawn_by(lambda: audited(done, title=f"{name}: audit"), folder / FIGURE)
    for file in (REPORT, GROUPS, PAGE):
        tracker.log_files(folder / file)
    told = described(done, tracker.file_link(PAGE))
    if drawn:
        tracker.log_picture(folder / FIGURE)
        told += f"\n\n{tracker.log_preview(folder / FIGURE)}"
    tracker.log_metrics(figures(done))
    tracker.describe(told)
    tracker.log_dataset(
        done.found.manifest[["image", "score", "split"]],
        name=name,
        context="audit",
        digest=done.found.digest or done.found.fingerprint,
        source=str(done.found.image_root or name),
    )


def figures(done: Audit) -> dict[str, float | None]:
    """What a table of audits shows of one; None where nothing tells it."""
    files, copies, split, scores, suspects = (
        done.sections[section] for section in ("files", "copies", "split", "scores", "suspects")
    )
    return {
        "audit/findings": len(done.findings),
        "audit/pictures": files["pictures"],
        "audit/readable": files["readable"],
        "audit/groups": copies["groups"],
        "audit/copies": copies["together"],
        "audit/test_pictures": split["test"]["pictures"],
        "audit/srcc_margin": split["srcc_margin"],
        "audit/ceiling_by_raters": scores["ceiling_by_raters"],
        "audit/ceiling_by_twins": scores["ceiling_by_twins"],
        "audit/suspects": suspects["count"],
    }


def described(done: Audit, link: str) -> str:
    """The findings in Markdown, under how many there are.

    Args:
        link: to the page with pictures.
    """
    count = len(done.findings)
    head = f"**{count or 'No'} {'finding' if count == 1 else 'findings'}** ([with pictures]({link}))"
    told = (MARKS.sub(r"\\\1", f"{finding.section}: {finding}") for finding in done.findings)
    return "\n".join([head, "", *(f"- {line}" for line in told)])
