"""A report is whole: every file, numbers that agree with their source, nothing of an earlier run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from forked import draw_fully
from made_up import make_evaluated, make_history
from PIL import Image

from iqa import metrics
from iqa.api import report as files
from iqa.api.report import write_report
from iqa.errors import UserError
from iqa.evaluation import report
from iqa.evaluation.evaluated import PSEUDO_CAVEAT, Evaluated
from iqa.plots.report import FIGURES


@pytest.fixture(scope="module")
def evaluated() -> Evaluated:
    plain = make_evaluated(240, 4)
    return dataclasses.replace(plain, low=plain.predicted - 0.2, high=plain.predicted + 0.2)


@pytest.fixture(scope="module")
def written(evaluated, tmp_path_factory):
    directory = tmp_path_factory.mktemp("visualizations")
    with pytest.MonkeyPatch.context() as patch:
        draw_fully(patch)
        return directory, write_report(evaluated, make_history(6), directory, best_epoch=4).results


@pytest.fixture
def undrawn(monkeypatch):
    """Reports whose figures are not rendered, for tests that only read numbers."""

    def unrendered(draw, path) -> bool:
        if draw() is None:
            path.unlink(missing_ok=True)
            return False
        return True

    monkeypatch.setattr(files, "save_drawn_by", unrendered)
    monkeypatch.setattr(report, "SAMPLES", 20)


def test_every_file_is_there_and_the_figures_are_for_print(written):
    directory, results = written
    expected = {*FIGURES, "test_results.json", "test_predictions.csv"}
    assert {path.name for path in directory.iterdir()} == expected
    assert results["figures"] == list(FIGURES)
    for name in FIGURES:
        with Image.open(directory / name) as picture:
            assert min(picture.size) > 800
            assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_the_file_holds_what_the_call_returns(written):
    directory, results = written
    assert json.loads((directory / "test_results.json").read_text()) == results


def test_overall_numbers_are_those_of_the_metrics_with_content_intervals(written, evaluated):
    _, results = written
    pair = evaluated.predicted, evaluated.true
    found = {name: metric["value"] for name, metric in results["metrics"].items()}
    assert found == pytest.approx(metrics.scores(*pair))
    intervals = metrics.bootstrap(*pair, samples=report.SAMPLES, groups=evaluated.table["content"])
    assert (results["metrics"]["srcc"]["low"], results["metrics"]["srcc"]["high"]) == intervals["srcc"]
    assert results["caveat"] == PSEUDO_CAVEAT
    assert (results["n"], results["contents"], results["best_epoch"]) == (240, 12, 4)


@pytest.mark.parametrize("name", ["by_kind", "by_group", "by_cluster"])
def test_parts_add_up_to_the_whole(written, name):
    assert sum(part["n"] for part in written[1][name].values()) == 240


def test_parts_are_measured_alone(written, evaluated):
    of = evaluated.table["kind"].to_numpy() == "jpeg"
    part = written[1]["by_kind"]["jpeg"]
    assert part["n"] == of.sum()
    assert part["srcc"] == pytest.approx(metrics.srcc(evaluated.predicted[of], evaluated.true[of]))
    levels = evaluated.table["level"]
    assert {level: part["n"] for level, part in written[1]["by_level"].items()} == {
        str(level): (levels == level).sum() for level in range(1, 6)
    }


def test_the_table_has_a_row_per_picture(written, evaluated):
    table = pd.read_csv(written[0] / "test_predictions.csv")
    assert list(table) == [
        "image", "content", "kind", "level", "pseudo-MOS", "calibrated", "score", "predicted", "low", "high", "error",
        "cluster", "largest_responsibility", "log_likelihood",
    ]  # fmt: skip
    np.testing.assert_allclose(table["pseudo-MOS"], table["score"], atol=1e-5)  # its scale is 0-1
    assert table["image"].tolist() == evaluated.table["image"].tolist()
    assert table["error"].to_numpy() == pytest.approx(evaluated.predicted - evaluated.true, abs=1e-5)
    assert table["cluster"].tolist() == evaluated.responsibilities.argmax(axis=1).tolist()


def test_skipped_and_groundless_figures_of_an_earlier_run_are_removed(evaluated, tmp_path, undrawn):
    for name in FIGURES:
        (tmp_path / name).write_bytes(b"of an earlier run")
    results = write_report(evaluated, [], tmp_path, best_epoch=None, skip_tsne=True).results
    assert not (tmp_path / "features_tsne.png").exists()
    assert not (tmp_path / "training_curves.png").exists()
    assert (tmp_path / "features_pca.png").exists()
    assert "tsne" not in results


def test_a_report_that_fails_leaves_the_earlier_one_whole(evaluated, tmp_path, undrawn):
    (tmp_path / "test_results.json").write_text("{}")
    (tmp_path / "features_tsne.png").write_bytes(b"of an earlier run")
    broken = dataclasses.replace(evaluated, features=np.full((len(evaluated), 3), np.nan))
    with pytest.raises(UserError, match="not finite"):
        write_report(broken, [], tmp_path, best_epoch=None, skip_tsne=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features_tsne.png", "test_results.json"]


def test_a_figure_that_cannot_be_drawn_is_told_and_costs_nothing_else(tmp_path, monkeypatch, caplog):
    def unreadable(row: int) -> np.ndarray:
        raise UserError("an unreadable picture")

    broken = dataclasses.replace(make_evaluated(60, 2), thumbnail=unreadable)
    (tmp_path / "sample_predictions.png").write_bytes(b"of an earlier run")
    results = write_report(broken, [], tmp_path, best_epoch=None, skip_tsne=True).results
    assert "sample_predictions.png cannot be drawn: an unreadable picture" in caplog.text
    assert not (tmp_path / "sample_predictions.png").exists()
    drawn = {"predictions_scatter.png", "cluster_distribution.png", "features_pca.png"}
    assert set(results["figures"]) == drawn
    assert {path.name for path in tmp_path.iterdir()} == {*drawn, "test_results.json", "test_predictions.csv"}


@pytest.mark.parametrize("name", ["price_$20_to_$30", "a$x_$", "$\\frac{", "风景", "a_{b}^c", "%d {x}"])
def test_a_name_is_drawn_as_it_is_written(name, tmp_path):
    photos = make_evaluated(60, 2)
    table = photos.table.assign(kind=None, level=None, image=f"{name}.png", subset=name)
    results = write_report(
        dataclasses.replace(photos, table=table, score_name="MOS", trained_on=name),
        [], tmp_path, best_epoch=None, skip_tsne=True,
    ).results  # fmt: skip
    assert len(results["figures"]) == 5


def test_what_does_not_exist_is_null(tmp_path, undrawn):
    flat = make_evaluated(12, 0)
    flat = dataclasses.replace(flat, predicted=np.full(12, 0.5, dtype=np.float32))
    results = write_report(flat, [], tmp_path, best_epoch=None, skip_tsne=True).results
    assert results["metrics"]["srcc"] == {"value": None, "low": None, "high": None}
    assert results["mixture"] is None
    assert results["by_cluster"] == {}
    assert all(part["srcc"] is None for part in results["by_kind"].values())
    table = pd.read_csv(tmp_path / "test_predictions.csv")
    assert table["cluster"].isna().all()


def test_peoples_scores_need_no_kinds(evaluated, tmp_path, undrawn):
    photos = dataclasses.replace(evaluated, table=evaluated.table.assign(kind=None, level=None), score_name="MOS")
    results = write_report(photos, [], tmp_path, best_epoch=None, skip_tsne=True).results
    assert results["caveat"] is None
    assert results["by_kind"] == results["by_level"] == results["by_group"] == {}


def test_four_pictures_have_a_report_without_tsne(tmp_path, undrawn):
    results = write_report(make_evaluated(4, 2), [], tmp_path, best_epoch=None).results
    assert "features_tsne.png" not in results["figures"]


def test_parts_that_do_not_pair_up_are_refused(evaluated):
    with pytest.raises(UserError, match="do not pair up"):
        dataclasses.replace(evaluated, predicted=evaluated.predicted[1:])
    with pytest.raises(UserError, match="lacks columns"):
        dataclasses.replace(evaluated, table=evaluated.table.drop(columns="kind"))
