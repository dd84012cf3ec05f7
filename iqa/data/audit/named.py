"""What an audit is asked to look into: a folder with a table, a table, or the data of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iqa.config import ExperimentConfig
from iqa.config.reading import read_config
from iqa.data.scored.cells import is_picture, share
from iqa.data.scored.tables import SAMPLE, TABLES, open_table
from iqa.errors import UserError, some

#: How files end that may be tables or something else.
NOTES = (".txt", ".json", ".jsonl")


def find_config(
    data: str, config: str | Path | Mapping[str, Any] | ExperimentConfig | None, settings: Mapping[str, Any] | None
) -> tuple[str, ExperimentConfig]:
    """What the audit is called, and the config whose data section says what it reads.

    Raises:
        UserError: no data are named, or data and a config; a folder without a table, or with several.
    """
    given = dict(settings or {})
    if data and config:
        named = config if isinstance(config, str | Path) else "a config"
        raise UserError("data are named twice", got=f"{data} and {named}", fix="leave one out")
    if config:
        read = read_config(config, given)
        return read.experiment_name, read
    if data:
        place = Path(data).expanduser()
        table = place if place.is_file() else find_table(place)
        given = {"data.dataset": "csv", "data.root": str(table.parent), "data.csv": table.name, **given}
        name = place.resolve().stem if place.is_file() else place.resolve().name
    elif "data.dataset" in given or "data.csv" in given:
        given = {"data.dataset": "csv", **given}
        name = Path(str(given.get("data.csv") or given.get("data.root") or given["data.dataset"])).stem
    else:
        raise UserError("no data are named", fix="iqa audit FOLDER, iqa audit TABLE.csv, or iqa audit --config C")
    return name, read_config({"experiment_name": "audit"}, given)


def find_table(folder: Path) -> Path:
    """The one table in a folder.

    Raises:
        UserError: there is no such folder, none in it, or several.
    """
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
    try:
        frame = open_table(path).frame.iloc[:SAMPLE]
    except UserError:
        return False
    return any(share(list(cells), is_picture) > 0.5 for _, cells in frame.items())
