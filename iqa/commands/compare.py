"""Trains and tests several configs under one MLflow run and says which is really better: `iqa compare --configs A B`.

With --repeats N each is trained on N splits with other seeds, and the differences are judged over the splits. What is
trained and tested already is taken as it is, so that the same command goes on where it was stopped. Writes
EXPERIMENTS/<name>-comparison/. An override holds for every config.
"""

from __future__ import annotations

from iqa.commands.cli import listed, parser_for, show_link
from iqa.config.reading import load_config


def main(arguments: list[str]) -> None:
    parser = parser_for(
        "compare", __doc__, "Any setting can be given by its dotted name, such as --training.epochs 20."
    )
    parser.add_argument("--configs", nargs="+", default=[], help="JSON files, two or more, also as one quoted list")
    parser.add_argument("--name", default="backbones", help="of the comparison (default: %(default)s)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="train and test each on so many splits (default: 1)")
    options, overrides = parser.parse_known_args(arguments)
    configs = [load_config(path, overrides) for path in listed(options.configs)]

    # Imported late: --help and a faulty config must not wait for torch.
    from iqa.api.compare import compare

    done = compare(configs, name=options.name, output=options.output, repeats=options.repeats, verbose=True)
    print(f"\n{(done.folder / 'comparison.md').read_text(encoding='utf-8')}\nfiles: {done.folder}")
    show_link(done.link)
