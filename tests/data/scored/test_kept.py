"""A table that is opened again is not worked out again; whatever has changed since is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.audit.twins import copies
from iqa.data.prepared import prepare
from iqa.data.scored import load, tables
from iqa.data.scored.load import ScoredSet, load_scored
from iqa.data.scored.locate import PictureIndex
from iqa.errors import IqaError, UserError

PICTURES = 24


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    """Pictures of noise, two of them the same, and their table, in a folder beside the cache."""
    root, random = tmp_path / "set", np.random.default_rng(0)
    (root / "in").mkdir(parents=True)
    lines = ["image,mos,subset"]
    for number in range(PICTURES):
        pixels = random.integers(0, 256, (32 + number, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"in/{number:02}ä.png")
        lines.append(f"in/{number:02}ä.png,{number / 7},{'ab'[number % 2]}")
    (root / "in/01ä.png").write_bytes((root / "in/00ä.png").read_bytes())
    (root / "scores.csv").write_text("\n".join(reversed(lines[1:])).join([lines[0] + "\n", "\n"]), encoding="utf-8")
    return root


def settings(root: Path, **changes: object) -> DataConfig:
    return DataConfig(
        dataset="csv", csv=str(root / "scores.csv"), cache_dir=str(root.parent / "cache"), picture_size=32, **changes
    )


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to work out a table, each time that it is."""
    done: list[str] = []
    for owner, name in ((PictureIndex, "_scan"), (tables, "refuse_stranger"), (load, "find_copies"),
                        (load, "open_links"), (load, "_split")):  # fmt: skip
        plain = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *given, _name=name, _plain=plain, **named: done.append(_name) or _plain(*given, **named)
        )
    return done


def kept_in(root: Path) -> list[Path]:
    return sorted((root.parent / "cache").glob("table-*"))


def same(one: ScoredSet, other: ScoredSet) -> bool:
    pd.testing.assert_frame_equal(one.manifest, other.manifest)
    assert (one.scale, one.report, one.fingerprint) == (other.scale, other.report, other.fingerprint)
    assert (one.image_root, one.ratings) == (other.image_root, other.ratings)
    return True


def test_the_second_opening_reads_no_table_walks_no_folder_and_looks_at_no_picture(
    own_set: Path, worked_out: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = settings(own_set, train_samples=10)
    first = load_scored(data)
    assert sorted(set(worked_out)) == ["_scan", "_split", "find_copies", "open_links", "refuse_stranger"]
    said = caplog.messages[-1]
    assert "2 pictures are copies of each other" in said
    worked_out.clear()
    caplog.clear()
    load._told.clear()
    again = load_scored(data)
    assert worked_out == []
    assert same(first, again)
    assert caplog.messages == [said]
    assert np.array_equal(np.asarray(first.read("in/05ä.png")), np.asarray(again.read("in/05ä.png")))
    with pytest.raises(ValueError, match="not in the manifest"):
        again.read("scores.csv")


def test_a_store_is_the_same_the_second_time(own_set: Path, worked_out: list[str]) -> None:
    first = prepare(settings(own_set), progress=False)
    worked_out.clear()
    again = prepare(settings(own_set), progress=False)
    assert worked_out == []
    assert (first.digest, first.squares_digest, first.known_by) == (again.digest, again.squares_digest, again.known_by)
    pd.testing.assert_frame_equal(first.manifest, again.manifest)
    assert first.report == again.report


def rescored(root: Path) -> None:
    text = (root / "scores.csv").read_text(encoding="utf-8")
    status = (root / "scores.csv").stat()
    (root / "scores.csv").write_text(text.replace(f"{5 / 7},", f"{6 / 7},"), encoding="utf-8")
    os.utime(root / "scores.csv", ns=(status.st_atime_ns, status.st_mtime_ns))


def grown(root: Path) -> None:
    file = root / "in/07ä.png"
    status = file.stat()
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def touched(root: Path) -> None:
    os.utime(root / "in/07ä.png", ns=(1, 1))


def damaged(root: Path) -> None:
    (file,) = kept_in(root)
    content = bytearray(file.read_bytes())
    place = content.index(b"in/07")
    content[place : place + 5] = b"in/08"
    file.write_bytes(content)


def emptied(root: Path) -> None:
    kept_in(root)[0].write_bytes(b"")


@pytest.mark.parametrize("change", [rescored, grown, touched, damaged, emptied])
def test_what_has_changed_is_worked_out_again(
    own_set: Path, worked_out: list[str], change: Callable[[Path], None]
) -> None:
    first = load_scored(settings(own_set))
    change(own_set)
    worked_out.clear()
    again = load_scored(settings(own_set))
    assert "_scan" in worked_out
    assert (again.fingerprint == first.fingerprint) == (change in (damaged, emptied))
    worked_out.clear()
    assert same(again, load_scored(settings(own_set)))
    assert worked_out == []
    assert len(kept_in(own_set)) == 1  # it takes the place of the one before


def test_a_picture_that_is_gone_is_missed(own_set: Path) -> None:
    load_scored(settings(own_set))
    (own_set / "in/07ä.png").unlink()
    with pytest.raises(UserError, match=r"07ä\.png"):
        load_scored(settings(own_set))


@pytest.mark.parametrize(
    "changes", [{"split_seed": 1}, {"score_range": (0, 5)}, {"groups": "none"}, {"train_samples": 4}], ids=str
)
def test_other_settings_are_worked_out_by_themselves(
    own_set: Path, worked_out: list[str], changes: dict[str, object]
) -> None:
    first = load_scored(settings(own_set))
    worked_out.clear()
    other = load_scored(settings(own_set, **changes))
    assert "_split" in worked_out
    assert not other.manifest.equals(first.manifest) or changes == {"groups": "none"}
    worked_out.clear()
    assert same(other, load_scored(settings(own_set, **changes, num_workers=1, crops=2)))
    assert worked_out == []


def spelled_otherwise(text: str) -> str:
    return text.replace("in/07ä.png", "IN/07ä.png")


def without_a_score(text: str) -> str:
    return text.replace(f"{5 / 7},", ",")


def in_dmos(text: str) -> str:
    return text.replace("image,mos,subset", "image,dmos,subset")


@pytest.mark.parametrize("change", [spelled_otherwise, without_a_score, in_dmos])
def test_what_leaves_something_to_be_said_is_not_kept(own_set: Path, change: Callable[[str], str]) -> None:
    table = own_set / "scores.csv"
    table.write_text(change(table.read_text(encoding="utf-8")), encoding="utf-8")
    load_scored(settings(own_set, on_error="skip"))
    assert kept_in(own_set) == []


def test_nothing_is_kept_by_those_who_do_not_look(own_set: Path) -> None:
    load_scored(settings(own_set), look=False)
    assert kept_in(own_set) == []


def test_a_cache_that_cannot_be_written_keeps_nothing(
    own_set: Path, monkeypatch: pytest.MonkeyPatch, worked_out: list[str]
) -> None:
    def refuse(*_: object) -> None:
        raise IqaError("cannot write")

    monkeypatch.setattr("iqa.data.scored.kept.atomic_write", refuse)
    first = load_scored(settings(own_set))
    worked_out.clear()
    assert same(first, load_scored(settings(own_set)))
    assert "_scan" in worked_out


def test_copies_are_looked_for_by_paths_as_text(own_set: Path) -> None:
    files = [str(path) for path in sorted((own_set / "in").iterdir())]
    assert copies.find_copies(files).tolist() == [0, 0, *range(2, PICTURES)]
