"""Writes the standard experiments as JSON files: `iqa configs [--output configs]`."""

from __future__ import annotations

from pathlib import Path

from iqa.commands.cli import parser_for
from iqa.config.reading import load_config
from iqa.config.recipes import recipe_texts
from iqa.files import write_text


def main(arguments: list[str]) -> None:
    parser = parser_for("configs", __doc__, "Each is also known by its name alone: iqa train --config quick_test.")
    parser.add_argument("--output", default="configs", help="folder for the JSON files (default: %(default)s)")
    for path in generate_all_configs(parser.parse_args(arguments).output):
        print(path)


def generate_all_configs(output: str | Path = "configs") -> list[Path]:
    """Write every standard experiment, checked against the schema, to `output`/<experiment_name>.json."""
    paths = []
    for name, text in recipe_texts().items():
        load_config(name)
        paths.append(Path(output) / f"{name}.json")
        write_text(paths[-1], text)
    return paths
