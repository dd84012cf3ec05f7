"""A model's card: every figure of it stands in the experiment's files, and what they lack is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up import make_evaluated

from iqa.config.reading import build_config
from iqa.deploy.card import write_card
from iqa.evaluation.evaluated import Evaluated
from iqa.evaluation.report import RESULTS, compute
from iqa.files import read_json, write_json
from iqa.scoring.ensemble import write_members

#: Words of the card that have a number in them.
WORDS = ("base64", "test_resnet", "KADID-10k")


def evaluated() -> Evaluated:
    """120 pictures of two subsets, with intervals."""
    made = make_evaluated(120, 0, side=16, score_name="MOS")
    subset = ["ss01", "ss|02"] * 60
    width = [0.1 + 0.002 * number for number in range(120)]
    return replace(
        made, table=made.table.assign(subset=subset), low=made.predicted - width, high=made.predicted + width
    )


def write(folder: Path, results: dict[str, Any] | None, **data: Any) -> Path:
    config = build_config(
        {"experiment_name": folder.name, "data": data or {"dataset": "photos"}, "model": {"backbone": "test_resnet"}}
    )
    write_json(folder / "config.json", config.to_dict())
    write_json(folder / "training_history.json", {"best_epoch": 17, "epochs": []})
    if results is not None:
        write_json(folder / "visualizations" / RESULTS, results)
    return folder


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return compute(evaluated(), best_epoch=17, skip_tsne=True).results


def told(value: Any) -> Iterator[str]:
    """How each number of a file, and those in its names and notes, may stand in a card."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from told(key)
            yield from told(item)
    elif isinstance(value, list):
        for item in value:
            yield from told(item)
    elif isinstance(value, str):
        yield from re.findall(r"\d+", value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = abs(value)
        yield from (f"{value:.3f}", f"{value:g}", f"{100 * value:.0f}", f"{100 * value:.1f}")


def numbers_of(card: str) -> set[str]:
    """The numbers that a card's reader sees, but for those of names."""
    for word in WORDS:
        card = card.replace(word, "")
    return set(re.findall(r"\d+(?:\.\d+)?", card))


def test_the_licence_is_the_one_that_was_stated(tmp_path: Path) -> None:
    silent = write_card(write(tmp_path / "silent", None)).read_text()
    assert "Licence of these pictures and scores: that of their authors; `data.licence` would say it here" in silent
    stated = write_card(write(tmp_path / "stated", None, dataset="photos", licence="CC BY 4.0")).read_text()
    assert "Licence of these pictures and scores: CC BY 4.0\n" in stated


def test_every_number_of_a_card_is_found_in_the_files(tmp_path: Path, results: dict[str, Any]) -> None:
    folder = write(tmp_path / "photos", results)
    write_json(folder / "visualizations" / "koniq" / RESULTS, results | {"n": 77})
    text = write_card(folder).read_text()
    files = [*folder.rglob("*.json")]
    assert len(files) == 4
    known = {number for file in files for number in told(read_json(file))}
    assert numbers_of(text) - known == set()
    assert len(numbers_of(text)) > 25
    for name in ("srcc", "plcc", "krcc", "rmse"):
        part = results["metrics"][name]
        assert f"| {name.upper()} | {part['value']:.3f} | {part['low']:.3f} to {part['high']:.3f} |" in text
    part = results["by_subset"]["ss01"]
    assert f"| ss01 | {part['n']} | {part['srcc']:.3f} | {part['srcc_low']:.3f} to {part['srcc_high']:.3f} |" in text
    assert f"hold for {100 * results['intervals']['coverage']['value']:.1f} % of the test pictures" in text
    assert "| koniq | 77 |" in text


def test_its_weakest_parts_are_named(tmp_path: Path, results: dict[str, Any]) -> None:
    text = write_card(write(tmp_path / "photos", results)).read_text()
    kinds = {name: part["srcc"] for name, part in results["by_kind"].items() if part["srcc"] is not None}
    worst = min(kinds, key=kinds.__getitem__)
    assert f"worst kind of distortion: {worst}, SRCC {kinds[worst]:.3f}" in text
    fifths = {name: part["coverage"] for name, part in results["intervals"]["by_fifth"].items()}
    fifth = min(fifths, key=fifths.__getitem__)
    assert f"least for the fifth by score, from the lowest, {fifth}: {100 * fifths[fifth]:.1f} %" in text


def test_it_says_whose_scores_it_imitates_and_how_it_is_called(tmp_path: Path, results: dict[str, Any]) -> None:
    made = {"score_name": "pseudo-MOS", "caveat": "pseudo-MOS: human mean for this kind and level of distortion"}
    for name, found, said in [
        ("people", results, "imitate those of people (MOS)"),
        ("made", results | made, "no person scored the pictures"),
    ]:
        text = write_card(write(tmp_path / name, found)).read_text()
        assert said in text
        assert f"iqa serve experiments/{name}" in text
        assert "base64" in text
        assert "IQA_SERVE_ROOT" in text
    assert "- pseudo-MOS: human mean" in text


def test_its_front_matter_is_what_the_hub_reads(tmp_path: Path, results: dict[str, Any]) -> None:
    folder = write(tmp_path / "koniq", results, dataset="koniq10k", root=str(tmp_path))
    text = write_card(folder).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["library_name"], front["license"], front["datasets"]) == ("iqa", "other", ["koniq10k"])
    assert "test_resnet" in front["tags"]
    assert 'koniq10k (Hosu et al., "KonIQ-10k", IEEE TIP 2020)' in text
    assert "Licence of these pictures and scores: that of their authors" in text


def test_what_the_files_lack_is_left_out(tmp_path: Path, results: dict[str, Any]) -> None:
    text = write_card(write(tmp_path / "untested", None)).read_text()
    assert "not tested" in text
    assert "SRCC" not in text
    bare = results | {"intervals": None, "no_intervals": ["too few"], "by_subset": {}, "by_kind": {}, "by_level": {}}
    (write(tmp_path / "bare", bare) / "training_history.json").unlink()
    text = write_card(tmp_path / "bare").read_text()
    assert "no intervals: too few" in text
    assert "## Where it is weak" not in text
    assert "17" not in numbers_of(text.partition("## How good")[0])


def test_an_ensemble_names_its_members(tmp_path: Path, results: dict[str, Any]) -> None:
    members = [write(tmp_path / name, None) for name in ("one", "two")]
    write_json(tmp_path / "both" / "visualizations" / RESULTS, results)
    write_members(tmp_path / "both", members)
    text = write_card(tmp_path / "both").read_text()
    assert "# both" in text
    assert "The mean of 2 models: test_resnet with a mixture of" in text
