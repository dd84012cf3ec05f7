"""Writes the standard experiments as JSON files: `iqa configs [--output configs]`."""

from __future__ import annotations

from pathlib import Path

from iqa.commands.cli import parser_for
from iqa.config.reading import load_config
from iqa.config.recipes import recipe_texts
from iqa.files import roughly, write_text
from iqa.progress import tell


def main(arguments: list[str]) -> None:
    parser = parser_for("configs", __doc__, "Each is also known by its name alone: iqa train --config quick_test.")
    parser.add_argument("--output", default="configs", help="folder for the JSON files (default: %(default)s)")
    output = parser.parse_args(arguments).output
    texts = recipe_texts().values()
    size = sum(len(text.encode()) for text in texts)
    # The paths alone are on stdout.
    tell(
        f"configs: {len(texts)} experiments as JSON; about {roughly(size)} of disk, next to no memory; writes {output}",
        work="configs",
        what=f"{len(texts)} experiments as JSON",
        disk=size,
        writes=[output],
    )
    for path in generate_all_configs(output):
        print(path)


def generate_all_configs(output: str | Path = "configs") -> list[Path]:
    """Write every standard experiment, checked against the schema, to `output`/<experiment_name>.json."""
    paths = []
    for name, text in recipe_texts().items():
        load_config(name)
        paths.append(Path(output) / f"{name}.json")
        write_text(paths[-1], text)
    return paths
