"""Looks for what would spoil a training: `iqa audit DATA [--fail_on none|copies|any] [--data.key value ...]`.

DATA is a folder with a table of scores in it, or the table. Writes audits/<name>/ with audit.json, groups.csv, which
data.groups takes, audit.png, and a page with the pictures that belong together and those whose scores are contradicted
by pictures that look alike; logs them to MLflow. Exit code 1 if what `--fail_on` names was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from iqa.commands.cli import parser_for, show_link
from iqa.config.reading import parse_overrides
from iqa.errors import IqaError

if TYPE_CHECKING:
    from iqa.api.results import AuditResult
    from iqa.data.audit.findings import Finding


def main(arguments: list[str]) -> None:
    options, overrides = read_arguments(arguments)
    settings = dict(parse_overrides(overrides))
    # Imported late: --help must not wait for pandas.
    from iqa.api.audit import audit

    done = audit(options.data, config=options.config, settings=settings, output=options.output, verbose=True)
    show(done)
    show_link(done.link)
    refuse(done.findings, options.fail_on)


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for(
        "audit", __doc__, "Any setting of data and tracking can be given, such as --data.columns.group scene."
    )
    parser.add_argument("--data", default="", help="folder with a table, or table; may stand alone, as first argument")
    parser.add_argument("--config", default="", help="audit the data of an experiment's JSON file instead")
    parser.add_argument("--output", default="", help="folder of results (default: audits/<name>)")
    parser.add_argument(
        "--fail_on",
        "--fail-on",
        default="none",
        choices=("none", "copies", "any"),
        help="end with exit code 1 if there are copies, or any finding (default: %(default)s)",
    )
    # Before a setting's value argparse would take that for the data.
    named = [] if not arguments or arguments[0].startswith("-") else ["--data", arguments[0]]
    return parser.parse_known_args([*named, *arguments[len(named) // 2 :]])


def show(done: AuditResult) -> None:
    """What was found on the terminal, and where every file is."""
    sections = done.audit.sections
    files, copies, split, scores = (sections[name] for name in ("files", "copies", "split", "scores"))
    print(f"files    {files['readable']} of {files['pictures']} pictures can be read")
    print(f"copies   {copies['together']} pictures are copies or variants of another: {copies['groups']} groups in all")
    counts = ", ".join(f"{split[each]['pictures']} {each}" for each in ("train", "val", "test"))
    margin = (
        "" if split["srcc_margin"] is None else f"; an SRCC of .85 on the test is sure to +- {split['srcc_margin']:.3f}"
    )
    print(f"split    {counts}{margin}")
    low, high, mean = (scores[name] for name in ("min", "max", "mean"))
    print(f"scores   {low:g} to {high:g}, mean {mean:.3g}, {scores['different']} different")
    for section, line in (*ratings_said(sections), *suspects_said(sections["suspects"])):
        print(f"{section:<8} {line}")
    print("findings:" if done.findings else "nothing odd was found")
    for finding in done.findings:
        print(f"  {finding.section:<8} {finding}")
    print("files:")
    for file in done.files:
        print(f"  {file}")


def ratings_said(sections: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the noise of the scores leaves a model to reach, and what the ratings tell; nothing where nothing tells."""
    scores, raters = sections["scores"], sections.get("raters")
    ceilings = {"raters": scores["ceiling_by_raters"], "twins": scores["ceiling_by_twins"]}
    known = [f"{value:.3f} by {by}" for by, value in ceilings.items() if value is not None]
    if known:
        yield "", f"their own noise lets no model honestly exceed an SRCC of {', '.join(known)}"
    if raters is None:
        return
    least, usual, most = (raters["ratings_a_picture"][each] for each in ("min", "median", "max"))
    kept = f"{raters['raters_kept']:,} of " if raters["raters_kept"] != raters["raters"] else ""
    one = "rater" if raters["raters"] == 1 else "raters"
    by = f" by {kept}{raters['raters']:,} {one}" if raters["raters"] else ", nobody knows by whom"
    each = f"{least} to {most} a picture, median {usual:g}" if least < most else f"{most} a picture"
    yield "raters", f"{raters['ratings']:,} ratings{by}; {each}"
    found = raters["reliability"]
    if found:
        share = f"{found['reliability']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        yield "", f"halves of the {found['way']} agree to SRCC {found['halves']:.3f}: reliability {share}"
    if raters["standard_error"] is not None:
        yield "", f"standard error of a score {raters['standard_error']:.3g} on average"
    if raters["raters"]:
        end = " and left out" if raters["rejected"] and raters["rejected_left_out"] else ""
        rejected = f"{len(raters['rejected'])} rejected{end}"
        yield "", f"{raters['judged']} of {raters['raters']} {one} can be judged; {rejected}"


def suspects_said(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How many scores are contradicted by pictures that look alike; nothing where too few pictures tell."""
    if facts["srcc_of_expected"] is not None:
        scores = "score is" if facts["count"] == 1 else "scores are"
        srcc = f"they tell scores to SRCC {facts['srcc_of_expected']:.2f}"
        yield "suspects", f"{facts['count']} {scores} far from those of pictures that look alike ({srcc})"


def refuse(findings: list[Finding], fail_on: str) -> None:
    """End with exit code 1 where that is asked for.

    Raises:
        IqaError: what `fail_on` names was found.
    """
    found = [each for each in findings if fail_on == "any" or (fail_on == each.section == "copies")]
    if found:
        raise IqaError(f"{len(found)} findings", got="; ".join(each.said for each in found), expected="none")
