"""Looks for what would spoil a training: `iqa audit DATA [--fail_on none|copies|any] [--data.key value ...]`.

DATA is a folder with a table of scores in it, or the table. Writes audits/<name>/ with audit.json, groups.csv, which
data.groups takes, and a page with the pictures that belong together and those whose scores are contradicted by pictures
that look alike. Exit code 1 if what `--fail_on` names was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqa.commands.cli import parser_for
from iqa.config.reading import load_config, parse_overrides, read_config
from iqa.errors import IqaError, UserError, some

if TYPE_CHECKING:
    from iqa.data.audit.auditing import Audit

#: Names of the files that are written.
REPORT, GROUPS, PAGE = "audit.json", "groups.csv", "audit.html"
#: How files end that may be tables or something else.
NOTES = (".txt", ".json", ".jsonl")
#: Bytes of these for each picture, with room for the thumbnails of the page and for libraries.
EACH, THUMBNAILS, LIBRARIES = 1300, 3 * 10**6, 900 * 10**6
#: Bytes of memory for what is known of each picture, its features the most of it.
KNOWN = 8000


def main(arguments: list[str]) -> None:
    options, overrides = read_arguments(arguments)
    name, config = find_config(options, overrides)
    # Imported late: --help must not wait for pandas.
    from iqa.data.audit.auditing import BUFFERED, HELD, audit, settle
    from iqa.data.audit.page import page
    from iqa.data.audit.twins.groups import groups_to_csv
    from iqa.files import roughly, write_json, write_text
    from iqa.progress import tell

    data, count = settle(config.data)
    folder = Path(options.output or Path("audits") / name)
    disk, memory = THUMBNAILS + EACH * count, LIBRARIES + KNOWN * count + HELD * min(BUFFERED, max(4, data.num_workers))
    what = f"{count:,} pictures and their scores"
    tell(
        f"audit: {what}; about {roughly(disk)} of disk, {roughly(memory)} of memory; writes {folder}, the cache",
        work="audit",
        what=what,
        disk=disk,
        memory=memory,
        writes=[str(folder)],
    )
    done = audit(data)
    write_json(folder / REPORT, done.to_dict())
    write_text(folder / GROUPS, groups_to_csv(done.names, done.groups))
    write_text(folder / PAGE, page(done, name))
    show(done, folder)
    refuse(done, options.fail_on)


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = parser_for("audit", __doc__, "Any setting of the data can be given, such as --data.columns.group scene.")
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


def find_config(options: argparse.Namespace, overrides: list[str]) -> tuple[str, Any]:
    """What the audit is called, and the config whose data section says what it reads.

    Raises:
        UserError: no data are named, or data and a config; a folder without a table, or with several.
    """
    if bool(options.data) and bool(options.config):
        raise UserError("data are named twice", got=f"{options.data} and {options.config}", fix="leave one out")
    if options.config:
        config = load_config(options.config, overrides)
        return config.experiment_name, config
    settings = dict(parse_overrides(overrides))
    if options.data:
        place = Path(options.data).expanduser()
        table = place if place.is_file() else find_table(place)
        settings = {"data.dataset": "csv", "data.root": str(table.parent), "data.csv": table.name, **settings}
        name = place.resolve().stem if place.is_file() else place.resolve().name
    elif "data.dataset" in settings or "data.csv" in settings:
        settings = {"data.dataset": "csv", **settings}
        name = Path(str(settings.get("data.csv") or settings.get("data.root") or settings["data.dataset"])).stem
    else:
        raise UserError("no data are named", fix="iqa audit FOLDER, iqa audit TABLE.csv, or iqa audit --config C")
    return name, read_config({"experiment_name": "audit"}, settings)


def find_table(folder: Path) -> Path:
    """The one table in a folder.

    Raises:
        UserError: there is no such folder, none in it, or several.
    """
    from iqa.data.scored.tables import TABLES

    if not folder.is_dir():
        raise UserError(f"{folder} is neither a folder nor a table", expected="pictures with a table of their scores")
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    if len(tables) > 1:
        tables = [path for path in tables if path.suffix.lower() not in NOTES or names_pictures(path)]
    if len(tables) != 1:
        raise UserError(
            f"{folder} has {len(tables) or 'no'} tables of scores",
            got=some([path.name for path in tables]) or None,
            expected=f"one that ends in {', '.join(TABLES)}",
            fix="name the table itself: iqa audit FOLDER/TABLE.csv",
        )
    return tables[0]


def names_pictures(path: Path) -> bool:
    """Whether a file is a table that names pictures: notes and settings lie beside tables, too."""
    from iqa.data.scored.cells import is_picture, share
    from iqa.data.scored.tables import SAMPLE, open_table

    try:
        frame = open_table(path).frame.iloc[:SAMPLE]
    except UserError:
        return False
    return any(share(list(cells), is_picture) > 0.5 for _, cells in frame.items())


def show(done: Audit, folder: Path) -> None:
    """What was found on the terminal, and where every file is."""
    files, copies, split, scores = (done.sections[name] for name in ("files", "copies", "split", "scores"))
    print(f"files    {files['readable']} of {files['pictures']} pictures can be read")
    print(f"copies   {copies['together']} pictures are copies or variants of another: {copies['groups']} groups in all")
    counts = ", ".join(f"{split[each]['pictures']} {each}" for each in ("train", "val", "test"))
    margin = (
        "" if split["srcc_margin"] is None else f"; an SRCC of .85 on the test is sure to +- {split['srcc_margin']:.3f}"
    )
    print(f"split    {counts}{margin}")
    low, high, mean = (scores[name] for name in ("min", "max", "mean"))
    print(f"scores   {low:g} to {high:g}, mean {mean:.3g}, {scores['different']} different")
    for section, line in (*ratings_said(done.sections), *suspects_said(done.sections["suspects"])):
        print(f"{section:<8} {line}")
    print("findings:" if done.findings else "nothing odd was found")
    for finding in done.findings:
        print(f"  {finding.section:<8} {finding}")
    print("files:")
    for each in (REPORT, GROUPS, PAGE):
        print(f"  {folder / each}")


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


def refuse(done: Audit, fail_on: str) -> None:
    """End with exit code 1 where that is asked for.

    Raises:
        IqaError: what `fail_on` names was found.
    """
    found = [each for each in done.findings if fail_on == "any" or (fail_on == each.section == "copies")]
    if found:
        raise IqaError(f"{len(found)} findings", got="; ".join(each.said for each in found), expected="none")
