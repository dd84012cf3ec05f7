"""A log says how far long work is, a terminal shows it, and short work writes no line."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest
from drawn import draw

from iqa import progress
from iqa.config.data import DataConfig
from iqa.data.prepared import prepare


def work(count: int = 5, **options: object) -> None:
    with progress.progress_bar(total=count, desc="counting", unit="sheep", **options) as bar:  # type: ignore[arg-type]
        for _ in range(count):
            time.sleep(0.01)
            bar.update()


def test_short_work_writes_nothing_into_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    work()
    assert capsys.readouterr() == ("", "")


def test_long_work_writes_lines_of_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    work()
    said = capsys.readouterr().err.splitlines()
    assert len(said) >= 5
    assert re.fullmatch(
        r"counting: 3 of 5 sheep, [\d.e+]+ per second, \d\d:\d\d left, [\d.]+ [kMG]B of memory", said[3]
    ), said
    assert said[-1].startswith("counting: 5 of 5 sheep")


def test_lines_keep_their_distance(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.1)
    work(40)
    assert 2 <= len(capsys.readouterr().err.splitlines()) <= 8


def test_what_is_gone_through_counts_by_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setenv(progress.LOG, "json")
    assert list(progress.progress_bar(range(2, 5), total=3, desc="counting", unit="sheep")) == [2, 3, 4]
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert said[-1]["done"] == said[-1]["total"] == 3
    assert set(said[-1]) == {"work", "done", "total", "unit", "per_second", "seconds", "seconds_left", "memory"}
    assert said[-1]["work"] == "counting"


def test_work_that_stands_still_is_heard_of_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setattr(progress, "LOOK", 0.01)
    with progress.progress_bar(total=3, desc="outside", unit="parts"), progress.one_step("EM over 9 pictures"):
        time.sleep(0.3)
    said = capsys.readouterr().err.splitlines()
    assert 2 <= len(said) <= 7
    for line in said[:2]:  # the innermost speaks
        assert re.fullmatch(r"EM over 9 pictures: \d\d:\d\d so far, [\d.]+ [kMG]B of memory", line)


def test_when_work_ends_nothing_goes_on_beside_it() -> None:
    before = set(threading.enumerate())
    work()
    with pytest.raises(ValueError), progress.one_step("a step"):  # noqa: PT011
        raise ValueError
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_a_bar_may_be_asked_for_and_forbidden(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work(shown=True)
    assert "100%" in capsys.readouterr().err
    monkeypatch.setattr(progress, "EVERY", 0.0)
    work(shown=False)
    assert capsys.readouterr().err == ""


def test_preparing_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    for number in range(6):
        draw(tmp_path / "clean" / f"{number}.png", number)
    data = DataConfig(
        dataset="folder",
        root=str(tmp_path / "clean"),
        cache_dir=str(tmp_path / "cache"),
        picture_size=32,
        train_samples=20,
        val_samples=10,
        test_samples=10,
    )
    prepare(data)
    assert "preparing folder: 40 of 40 pictures" in capsys.readouterr().err
