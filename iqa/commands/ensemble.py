"""Judges several experiments as one: `iqa ensemble --experiments A B [--name N]`.

The ensemble's score is the mean of its members' scores: models that differ err differently. Writes experiments/<N>/,
which scoring takes for a model, with the report that a test writes. Experiments of --repeats are put together split by
split.
"""

from __future__ import annotations

from iqa.commands.cli import add_flag, listed, parser_for
from iqa.config.reading import parse_overrides


def main(arguments: list[str]) -> None:
    parser = parser_for("ensemble", __doc__, "The data can be overridden as in a test, such as --data.root FOLDER.")
    parser.add_argument("--experiments", nargs="+", required=True, help="folders of experiments, two or more")
    parser.add_argument("--name", default="", help="of the ensemble (default: theirs, joined by +)")
    parser.add_argument("--output", default="experiments", help="folder of experiments (default: %(default)s)")
    add_flag(parser, "--skip_tsne", "leave out t-SNE, the slowest figure")
    options, overrides = parser.parse_known_args(arguments)
    settings = dict(parse_overrides(overrides))

    # Imported late: --help must not wait for torch.
    from iqa.api.ensemble import ensemble
    from iqa.api.results import EvaluationResult
    from iqa.commands import evaluate, train

    done = ensemble(
        listed(options.experiments),
        settings=settings,
        name=options.name,
        output=options.output,
        skip_tsne=options.skip_tsne,
        verbose=True,
    )
    if isinstance(done, EvaluationResult):
        evaluate.show(done)
    else:
        train.show_splits(done)
