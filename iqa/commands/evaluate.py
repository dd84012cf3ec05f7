"""Judges a trained experiment on its test pictures: `iqa evaluate --experiment E [--section.key value ...]`.

Writes test_results.json, test_predictions.csv and the figures to E/visualizations, and logs them to MLflow. Another
data set than the one trained on (--data.dataset NAME --data.root FOLDER) is judged whole, and its files go to
E/visualizations/NAME.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iqa.commands.cli import NO_INTERVALS, NOT_CALIBRATED, add_flag, parser_for, show_link
from iqa.config.reading import parse_overrides

if TYPE_CHECKING:
    from iqa.api.results import EvaluationResult


def main(arguments: list[str]) -> None:
    parser = parser_for(
        "evaluate",
        __doc__,
        "Settings can be given by their dotted names, such as --data.root FOLDER or --training.device cpu.",
    )
    parser.add_argument(
        "--experiment", default="experiments/quick_test", help="folder, or runs:/<id> (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="best_model.pth", help="file in that folder (default: %(default)s)")
    add_flag(parser, "--skip_tsne", "leave out t-SNE, the slowest figure")
    parser.add_argument("--coverage", default=0.9, type=float, help="of the intervals (default: %(default)s)")
    options, overrides = parser.parse_known_args(arguments)
    settings = dict(parse_overrides(overrides))

    # Imported late: --help must not wait for torch.
    from iqa.api.evaluate import evaluate

    show(
        evaluate(
            options.experiment,
            settings=settings,
            checkpoint=options.checkpoint,
            skip_tsne=options.skip_tsne,
            coverage=options.coverage,
            verbose=True,
        )
    )


def show(done: EvaluationResult) -> None:
    """The outcome on the terminal, with where every file is and how to look at the rest."""
    results = done.results
    print(f"\n{results['n']} test pictures, judged against {results['score_name']}")
    if results["caveat"]:
        print(f"({results['caveat']})")
    for name in ("srcc", "plcc", "krcc", "rmse"):
        metric = results["metrics"][name]
        if metric["value"] is None:
            continue
        interval = "no interval: too few contents"
        if metric["low"] is not None and metric["high"] is not None:
            interval = f"95 % interval {metric['low']:.4f} to {metric['high']:.4f}"
        print(f"  {name.upper()} {metric['value']:.4f}  ({interval})")
    for subset, part in results["by_subset"].items():
        figure = "too few" if part["srcc"] is None else f"SRCC {part['srcc']:.4f}"
        print(f"    {subset}: {figure}  ({part['n']} pictures)")
    if found := results["intervals"]:
        wanted, held, width = found["wanted"], found["coverage"]["value"], found["width"]["value"]
        print(f"  {100 * wanted:.0f} % intervals hold for {100 * held:.1f} % of them; their mean width is {width:.3f}")
    for note in results["no_intervals"]:
        print(NO_INTERVALS.format(note))
    for note in results["not_calibrated"]:
        print(NOT_CALIBRATED.format(note))
    print("files:")
    for path in sorted(p for p in done.folder.parent.rglob("*") if p.is_file() and not p.name.startswith(".")):
        print(f"  {path}")
    show_link(done.link)
