"""The figures say what they must, for ordinary and odd evaluations, and leave matplotlib as it was."""

from __future__ import annotations

import dataclasses
import io

import matplotlib as mpl
import numpy as np
import pytest
from made_up import make_evaluated, make_history
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from iqa import metrics
from iqa.errors import UserError
from iqa.evaluation.evaluated import PSEUDO_CAVEAT, Evaluated
from iqa.plots.clusters import cluster_distribution
from iqa.plots.embedding import features_embedding
from iqa.plots.portraits import cluster_portraits, frequent, typical
from iqa.plots.samples import choose_samples, sample_predictions
from iqa.plots.scatter import predictions_scatter
from iqa.plots.training import training_curves


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def scatter(evaluated: Evaluated) -> Figure:
    pair = evaluated.predicted, evaluated.true
    return predictions_scatter(
        evaluated, metrics.scores(*pair), metrics.bootstrap(*pair, samples=20), metrics.fit_logistic(*pair)
    )


def layout(evaluated: Evaluated) -> Figure:
    return features_embedding(evaluated, evaluated.features[:, :2], title="Features", axis_labels=("first", "second"))


FIGURES = (scatter, cluster_distribution, layout, sample_predictions)


@pytest.fixture(scope="module")
def ordinary() -> Evaluated:
    return make_evaluated(120, 8)


def without_kinds(evaluated: Evaluated) -> Evaluated:
    return dataclasses.replace(evaluated, table=evaluated.table.assign(kind=None, level=None), score_name="MOS")


@pytest.mark.parametrize("draw", [*FIGURES, cluster_portraits])
def test_pseudo_scores_are_called_so_in_every_figure_and_peoples_scores_are_not(ordinary, draw):
    assert PSEUDO_CAVEAT in " ".join(words(draw(ordinary)).split())
    assert "pseudo" not in words(draw(without_kinds(ordinary)))


@pytest.mark.parametrize("draw", [*FIGURES, cluster_portraits])
def test_a_long_footnote_stays_within_the_figure(ordinary, draw):
    figure = draw(dataclasses.replace(ordinary, trained_on="another_set_of_pictures"))
    figure.canvas.draw()
    note = figure.get_supxlabel()
    footnote = next(text for text in figure.findobj(Text) if text.get_text() == note)
    assert "another_set_of_pictures" in note
    assert footnote.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize(
    "evaluated",
    [
        make_evaluated(5, 8),
        make_evaluated(40, 32, side=32),
        make_evaluated(30, 0),
        without_kinds(make_evaluated(30, 0)),
        dataclasses.replace(make_evaluated(20, 2), predicted=np.full(20, 0.5)),
        dataclasses.replace(make_evaluated(20, 2), true=np.full(20, 0.5)),
    ],
    ids=["five pictures", "32 clusters", "no mixture", "no kinds", "constant predictions", "constant scores"],
)
def test_odd_evaluations_are_drawn(draw, evaluated):
    file = io.BytesIO()
    draw(evaluated).savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")


def test_the_scatter_shows_metrics_intervals_and_a_red_dashed_diagonal(ordinary):
    figure = scatter(ordinary)
    assert f"{metrics.srcc(ordinary.predicted, ordinary.true):.3f}" in words(figure)
    assert "95 % interval" in words(figure)
    diagonal = next(line for line in figure.axes[0].lines if line.get_label() == "perfect prediction")
    assert diagonal.get_linestyle() == "--"
    red, green, blue = to_rgb(diagonal.get_color())
    assert red > 2 * max(green, blue)
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_few_contents_are_warned_of():
    assert "only 2 contents: no intervals" in words(scatter(make_evaluated(30, 2)))
    assert "only 4 contents: intervals are rough" in words(scatter(make_evaluated(80, 2)))


def test_bars_count_every_picture_and_stars_stand_at_the_means(ordinary):
    counts, boxes = cluster_distribution(ordinary).axes
    heights = [bar.get_height() for bar in counts.patches]
    assert heights == np.bincount(ordinary.clusters, minlength=8).tolist()
    stars = {line.get_xdata()[0]: line.get_ydata()[0] for line in boxes.lines if line.get_marker() == "*"}
    assert stars == {
        k: pytest.approx(ordinary.true[ordinary.clusters == k].mean()) for k in np.unique(ordinary.clusters)
    }


@pytest.mark.parametrize(
    "evaluated",
    [
        make_evaluated(5, 8),
        without_kinds(make_evaluated(30, 2)),
        dataclasses.replace(make_evaluated(20, 2), true=np.full(20, 0.5), log_likelihood=None),
    ],
    ids=["fewer pictures than clusters", "no kinds", "constant scores, no likelihood"],
)
def test_portraits_of_odd_evaluations_are_drawn(evaluated):
    file = io.BytesIO()
    cluster_portraits(evaluated).savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")


def test_typical_pictures_are_of_the_largest_density_and_of_different_contents(ordinary):
    for cluster in np.unique(ordinary.clusters):
        rows = np.flatnonzero(ordinary.clusters == cluster).tolist()
        shown = typical(ordinary, cluster, rows, number=4)
        density = ordinary.responsibilities[:, cluster] * np.exp(ordinary.log_likelihood.astype(float))
        assert shown[0] == max(rows, key=lambda row: density[row])
        assert set(shown) <= set(rows)
        contents = ordinary.table["content"]
        assert contents[shown].nunique() == min(4, len(rows), contents[rows].nunique())


def test_where_a_cluster_has_one_content_its_next_pictures_are_shown(ordinary):
    one = dataclasses.replace(ordinary, table=ordinary.table.assign(content="a"))
    rows = np.flatnonzero(one.clusters == 0).tolist()
    density = np.log(one.responsibilities[:, 0]) + one.log_likelihood
    assert typical(one, 0, rows, number=3) == sorted(rows, key=lambda row: -density[row])[:3]


def test_the_most_frequent_labels_have_their_share_here_and_in_all():
    labels = ["blur"] * 3 + ["noise"] * 6 + ["none"]
    assert frequent(labels, [0, 1, 2, 3], number=2) == [("blur", 0.75, 0.3), ("noise", 0.25, 0.6)]
    assert frequent(["none"] * 4, [0, 1]) == []


def test_portraits_name_kinds_subsets_and_what_is_left_out(ordinary):
    subset = np.where(np.arange(len(ordinary)) % 2, "indoor", "outdoor")
    text = words(cluster_portraits(dataclasses.replace(ordinary, table=ordinary.table.assign(subset=subset))))
    assert "indoor  " in text
    assert "jpeg" in text
    largest = np.bincount(ordinary.clusters).max()
    assert f"{largest} pictures, {largest / len(ordinary):.0%}; mean score" in text
    crowd = make_evaluated(200, 20)
    used = len(np.unique(crowd.clusters))
    text = words(cluster_portraits(crowd))
    assert sum(line.startswith("cluster ") for line in text.splitlines()) == 16
    assert f"{used - 16} smaller clusters are not shown" in " ".join(text.split())
    with pytest.raises(UserError, match="no clusters"):
        cluster_portraits(make_evaluated(20, 0))


def test_without_a_mixture_the_figures_say_so_and_use_distortion_groups():
    evaluated = make_evaluated(60, 0)
    for figure in (cluster_distribution(evaluated), layout(evaluated)):
        assert "no mixture" in words(figure)
        assert "compression" in words(figure)
    assert "cluster" not in words(sample_predictions(evaluated))


def test_thinned_layouts_show_the_rows_they_are_of(ordinary):
    rows = np.array([1, 5, 7, 90])
    figure = features_embedding(ordinary, np.arange(8.0).reshape(4, 2), title="", axis_labels=("", ""), rows=rows)
    by_score, by_category = figure.axes[:2]
    assert by_score.collections[0].get_array().tolist() == ordinary.true[rows].tolist()
    assert sum(len(points.get_offsets()) for points in by_category.collections) == 4


def test_samples_span_the_scale_and_hold_the_worst_miss():
    random = np.random.default_rng(0)
    true, error = random.uniform(size=400), random.normal(size=400)
    chosen, worst = choose_samples(true, error)
    assert len(set(chosen)) == 16
    assert worst in chosen
    assert abs(error[worst]) == np.abs(error).max()
    bands = np.searchsorted(np.sort(true), true[chosen]) // 25
    assert bands.tolist() == list(range(16))


def test_few_pictures_are_all_shown():
    chosen, _ = choose_samples(np.array([0.5, 0.1, 0.9]), np.array([0.0, 0.2, -0.3]))
    assert chosen == [1, 0, 2]


def test_a_sample_tells_kind_level_prediction_truth_cluster_and_error(ordinary):
    text = words(sample_predictions(ordinary))
    _, worst = choose_samples(ordinary.true, ordinary.error)
    row = ordinary.table.iloc[worst]
    assert f"{row['kind'].replace('_', ' ')}, level {row['level']}" in text
    assert f"predicted {ordinary.predicted[worst]:.3f}, true {ordinary.true[worst]:.3f}" in text
    assert f"error {ordinary.error[worst]:+.3f}   cluster {ordinary.clusters[worst]}   worst miss" in text


def test_training_curves_mark_the_best_epoch():
    history = make_history(12)
    figure = training_curves(history, best_epoch=9)
    assert "best epoch 9" in words(figure)
    assert f"epoch 9: {history[8]['val_srcc']:.3f}" in words(figure)
    assert figure.axes[3].get_yscale() == "log"


def test_a_learning_rate_that_stays_is_not_on_a_logarithmic_axis():
    assert training_curves(make_history(5)).axes[3].get_yscale() == "linear"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_one_epoch_and_missing_figures_are_drawn(missing):
    record = {**make_history(1)[0], "val_srcc": missing, "val_loss": missing}
    figure = training_curves([record], best_epoch=1)
    figure.savefig(io.BytesIO(), dpi=30)
    assert "validation: not recorded" in words(figure)


def test_no_epochs_have_no_curves():
    with pytest.raises(UserError, match="no epoch"):
        training_curves([])


def test_drawing_leaves_matplotlibs_settings_alone(ordinary):
    before = dict(mpl.rcParams)
    cluster_distribution(ordinary)
    assert dict(mpl.rcParams) == before
