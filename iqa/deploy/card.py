"""A model's card: what it scores, how well, where it is weak and how to call it, out of its experiment's own files.

Every figure is one of config.json, manifest.csv, training_history.json and the reports of its tests; what they lack is
left out. The front matter is what the Hugging Face hub reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iqa.config import ExperimentConfig
from iqa.data.manifest import SPLITS
from iqa.data.scored.presets.catalog import CATALOG
from iqa.evaluation.description import MEASURES, MOST_SUBSETS
from iqa.evaluation.evaluated import PSEUDO
from iqa.evaluation.report import RESULTS
from iqa.files import content_of, experiment_label, read_json, write_text
from iqa.scoring.ensemble import read_members
from iqa.tracking.models.logged import CARD
from iqa.training.checkpoints import ExperimentFolder

#: Parts of a test -> what one of them is called.
PARTS = {"by_subset": "subset", "by_kind": "kind of distortion", "by_level": "level of distortion"}
COVERED = {"by_subset": "subset", "by_kind": "kind of distortion", "by_fifth": "fifth by score, from the lowest,"}
#: What the hub calls our figures of merit.
HUB_METRICS = ("spearmanr", "pearsonr", "rmse")

CALL = """\
```python
import iqa

table = iqa.load("experiments/{name}").score(["a.jpg", "b.png"])  # or runs:/<id>, models:/<name>@champion
```

    iqa score --model experiments/{name} --input FOLDER
    iqa serve experiments/{name}

A server takes pictures in base64 or as `data:` addresses, in a column `image`. It reads no path that a client names, \
unless IQA_SERVE_ROOT names a folder that it may read. A picture that cannot be read has the reason as its `error`."""


@dataclass(frozen=True)
class Source:
    """What a card is made from.

    Attributes:
        name: of the model.
        configs: what it was trained with; of an ensemble, each member's.
        results: what test_results.json says of its own test pictures.
        others: the same of other data sets, by name.
        counts: pictures of each split; empty where no file tells.
        best_epoch: which epoch it is of, if a file tells.
    """

    name: str
    configs: Sequence[ExperimentConfig]
    results: dict[str, Any] | None
    others: dict[str, dict[str, Any]]
    counts: dict[str, int]
    best_epoch: int | None


def write_card(folder: Path) -> Path:
    """Write README.md into the folder of a tested experiment or ensemble, and return its place.

    Raises:
        UserError: there is neither, or a file of it is damaged.
    """
    with content_of(folder, "what training and iqa evaluate write there", "evaluate it again"):
        text = card(read_source(folder))
    write_text(folder / CARD, text)
    return folder / CARD


def read_source(folder: Path) -> Source:
    """What the files of an experiment, or an ensemble, say of it."""
    experiments = [ExperimentFolder(member) for member in read_members(folder) or [folder]]
    manifest, history = experiments[0].read_manifest(), experiments[0].history_file
    own = folder / "visualizations" / RESULTS
    epoch = read_json(history)["best_epoch"] if len(experiments) == 1 and history.is_file() else None
    return Source(
        name=experiment_label(folder),
        configs=[each.read_config() for each in experiments],
        results=read_json(own) if own.is_file() else None,
        others={file.parent.name: read_json(file) for file in sorted(own.parent.glob(f"*/{RESULTS}"))},
        counts={} if manifest is None else {name: int(n) for name, n in manifest["split"].value_counts().items()},
        best_epoch=epoch,
    )


def card(source: Source) -> str:
    """The card in Markdown, with its front matter."""
    results = source.results
    sections = {
        "": _summary(source),
        "Trained on": "\n".join(f"- {line}" for line in _training(source)),
        "How good it is": _figures(results) if results else "It was not tested on pictures of its own set.",
        "How sure it is": _coverage(results) if results else "",
        "Where it is weak": "\n".join(f"- {line}" for line in _weak(results)) if results else "",
        "On other pictures": _others(source.others),
        "Limits": "\n".join(f"- {line}" for line in _limits(results)) if results else "",
        "How to call it": CALL.format(name=source.name),
    }
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text]
    return "\n\n".join([f"{_front(source)}\n# {source.name}", *parts]) + "\n"


def _front(source: Source) -> str:
    backbones = dict.fromkeys(config.model.backbone for config in source.configs)
    lines = [
        "library_name: iqa",
        "license: other",
        "license_name: terms-of-the-training-pictures",
        "tags:",
        *(f"- {tag}" for tag in ("image-quality-assessment", "no-reference", "mlflow", *backbones)),
        "datasets:",
        f"- {source.configs[0].data.dataset}",
        "metrics:",
        *(f"- {name}" for name in HUB_METRICS),
    ]
    return "\n".join(["---", *lines, "---", ""])


def _summary(source: Source) -> str:
    results = source.results or {}
    told = ["Says how good a picture looks, without a reference picture."]
    if results.get("score_name") == PSEUDO:
        told.append("Its scores imitate pseudo-MOS: **no person scored the pictures that it learned from.**")
    elif results:
        told.append("Its scores imitate those of people (MOS).")
    told.append("`score` is a share of the scale, higher is better.")
    if scale := results.get("scale"):
        good = "higher" if scale["higher_is_better"] else "lower"
        told.append(
            f"`calibrated` is on the scale of its pictures: {scale['low']:g} to {scale['high']:g}, {good} is better."
        )
    if intervals := results.get("intervals"):
        told.append(f"`low` to `high` is to hold the score by people of {_percent(intervals['wanted'])} of pictures.")
    return " ".join(told)


def _training(source: Source) -> Iterator[str]:
    config = source.configs[0]
    known = CATALOG.get(config.data.dataset)
    yield f"Pictures: {config.data.dataset}" + (f" ({known.paper})" if known else "")
    if source.counts:
        yield "Split: " + ", ".join(f"{source.counts[name]} {name}" for name in SPLITS if name in source.counts)
    stated = dict.fromkeys(each.data.licence for each in source.configs if each.data.licence)
    unknown = "that of their authors; `data.licence` would say it here"
    yield f"Licence of these pictures and scores: {', '.join(map(_cell, stated)) or unknown}"
    if len(source.configs) > 1:
        yield f"The mean of {len(source.configs)} models: {', '.join(map(_model, source.configs))}"
        return
    yield f"Model: {_model(config)}"
    epoch = (
        "" if source.best_epoch is None else f"; number {source.best_epoch}, the best on validation pictures, is kept"
    )
    yield f"Epochs: up to {config.training.epochs}{epoch}"


def _model(config: ExperimentConfig) -> str:
    model = config.model
    mixture = f"a mixture of {model.n_clusters}" if model.n_clusters else "no mixture"
    return f"{model.backbone}{' (frozen)' * model.freeze_backbone} with {mixture}"


def _figures(results: Mapping[str, Any]) -> str:
    metrics = {name: results["metrics"][name] for name in MEASURES if name in results["metrics"]}
    sure = f"{_percent(results['bootstrap']['confidence'])} interval"
    lines = [
        f"{results['n']} test pictures of {results['contents']} contents, none of which it learned from; intervals by "
        "drawing contents anew.",
        "",
        f"| | test | {sure} |",
        "|---|---|---|",
        *(
            f"| {name.upper()} | {_number(part['value'])} | {_ends(part, 'low', 'high')} |"
            for name, part in metrics.items()
        ),
    ]
    if len(subsets := results.get("by_subset") or {}) > 1:
        lines += ["", f"| subset | pictures | SRCC | {sure} |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(name)} | {part['n']} | {_number(part['srcc'])} | {_ends(part, 'srcc_low', 'srcc_high')} |"
            for name, part in list(subsets.items())[:MOST_SUBSETS]
        ]
    return "\n".join(lines)


def _coverage(results: Mapping[str, Any]) -> str:
    if not (found := results.get("intervals")):
        return "\n".join(f"- no intervals: {note}" for note in results.get("no_intervals") or [])
    held, width = found["coverage"], found["width"]
    ends = "" if held["low"] is None else f" ({_percent(held['low'], 1)} to {_percent(held['high'], 1)})"
    lines = [
        f"Intervals made for {_percent(found['wanted'])} of pictures hold for {_percent(held['value'], 1)} of the test "
        f"pictures{ends}; they are {_number(width['value'])} of the scale wide."
    ]
    for key, what in COVERED.items():
        if len(parts := found.get(key) or {}) > 1:
            name, worst = min(parts.items(), key=lambda item: item[1]["coverage"])
            lines.append(
                f"- least for the {what} {_cell(name)}: {_percent(worst['coverage'], 1)} of {worst['n']} pictures"
            )
    return "\n".join([lines[0], "", *lines[1:]] if len(lines) > 1 else lines)


def _weak(results: Mapping[str, Any]) -> Iterator[str]:
    for key, what in PARTS.items():
        parts = {name: part for name, part in (results.get(key) or {}).items() if part["srcc"] is not None}
        if len(parts) > 1:
            name, worst = min(parts.items(), key=lambda item: item[1]["srcc"])
            yield f"worst {what}: {_cell(name)}, SRCC {_number(worst['srcc'])} on {worst['n']} pictures"


def _others(others: Mapping[str, Mapping[str, Any]]) -> str:
    if not others:
        return ""
    rows = [
        f"| {_cell(name)} | {results['n']} | {_number(part['value'])} | {_ends(part, 'low', 'high')} |"
        for name, results in others.items()
        for part in [results["metrics"]["srcc"]]
    ]
    return "\n".join(["| data set | pictures | SRCC | interval |", "|---|---|---|---|", *rows])


def _limits(results: Mapping[str, Any]) -> Iterator[str]:
    if results.get("caveat"):
        yield str(results["caveat"])
    if results["bootstrap"].get("few_contents"):
        yield f"only {results['contents']} different contents were tested: intervals are rough, or there are none"
    yield from (f"calibrated scores are its own, stretched to the scale: {note}" for note in results["not_calibrated"])
    yield "it knows pictures like those that it learned from; test it on some of yours before you rely on it"


def _cell(name: str) -> str:
    return " ".join(name.split()).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _ends(part: Mapping[str, Any], low: str, high: str) -> str:
    if part.get(low) is None or part.get(high) is None:
        return "too few contents"
    return f"{part[low]:.3f} to {part[high]:.3f}"
