"""The quick test learns: pictures of photographs that it never saw are ranked far better than before training."""

from __future__ import annotations

from pathlib import Path

from places import ROOT

from benchmarks.learns import before_and_after


def test_training_ranks_unseen_photographs_far_better_than_chance(tmp_path: Path, shared_cache: Path) -> None:
    settings = ["--data.cache_dir", str(shared_cache), "--tracking.enabled", "false"]
    untrained, _, trained, _ = before_and_after(str(ROOT / "configs" / "quick_test.json"), 0, settings, tmp_path)
    assert trained > 0.35
    assert trained > untrained + 0.2
