"""MLflow's UI as a user finds it after a comparison, in a real browser: nothing has to be set up first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

pytest.importorskip("playwright")

from browser import CHROMIUM, Visit, compare, served, visited
from forked import run_forked

from iqa.tracking.view import COLUMNS, PICTURES

if CHROMIUM is None:
    pytest.skip("no chromium here: apt-get install chromium", allow_module_level=True)

BACKBONES = ("resnet", "convnext", "vit", "efficientnet")
TINY = {
    "data": {"dataset": "photos", "train_samples": 60, "val_samples": 30, "test_samples": 30, "batch_size": 30,
             "num_workers": 0, "picture_size": 48, "image_size": 48},
    "model": {"pretrained": False, "feature_dim": 16, "hidden_dim": 16, "n_clusters": 2, "mixture": {"dim": 2}},
    "training": {"epochs": 3, "device": "cpu", "intervals": False},
    "tracking": {"system_metrics": False},
}  # fmt: skip


@dataclass(frozen=True)
class Store:
    """MLflow's UI over four trainings, and the link that the command ended with."""

    server: str
    link: str


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("ui")
    configs = {name: TINY | {"model": TINY["model"] | {"backbone": f"test_{name}"}} for name in BACKBONES}
    said = compare(folder, configs, run_forked)
    with served(folder) as server:
        yield Store(server, said.splitlines()[-1].strip().replace("http://127.0.0.1:5000", server))


@pytest.fixture
def visit(store: Store) -> Iterator[Visit]:
    """A first visit, in which nothing may go wrong."""
    with visited() as visit:
        yield visit
        assert not visit.faults


def test_the_view_compares_backbones_and_compare_draws_their_curves(store: Store, visit: Visit) -> None:
    rows = visit.table(store.link)
    assert {row["params.`model.backbone`"] for row in rows} == {f"test_{name}" for name in BACKBONES}
    assert len(rows) == len(BACKBONES)
    for row in rows:
        assert all(re.fullmatch(r"-?[\d.]+(e-\d+)?", row[name]) for name in COLUMNS if name.startswith("metrics.")), row
    srcc = [float(row["metrics.`test/srcc`"]) for row in rows]
    assert srcc == sorted(srcc, reverse=True)
    assert visit.page.get_by_role("link", name="Runs", exact=True).is_visible(), "the side of language models has none"

    visit.charts()
    assert visit.curves() == [len(BACKBONES)] * 3
    assert [visit.pictures(name) for name in PICTURES] == [len(BACKBONES)] * len(PICTURES)

    visit.compared("epoch/val/srcc")
    assert visit.curves() == [len(BACKBONES)]


def test_a_run_says_what_came_of_it_and_its_curves_come_first(store: Store, visit: Visit) -> None:
    visit.table(store.link)
    visit.run("vit")
    assert visit.page.get_by_role("cell", name="SRCC", exact=True).is_visible()
    assert visit.page.get_by_text("iqa train --config config.json").is_visible()
    assert visit.pictures("predictions_scatter") == 1
    settings = visit.page.get_by_role("link", name="config.json").get_attribute("href")
    assert visit.page.request.get(f"{store.server}/{settings}").json()["experiment_name"] == "vit"

    visit.page.get_by_role("tab", name="Model metrics").click()
    assert visit.sections()[:2] == ["epoch/train", "epoch/val"]


def test_a_comparison_shows_its_table_and_picture_and_leads_to_its_runs(store: Store, visit: Visit) -> None:
    visit.table(store.link)
    visit.page.get_by_role("link", name="vit", exact=True).click()
    visit.page.get_by_role("link", name="backbones-comparison").click()
    visit.unfold()
    assert visit.pictures("comparison") == 1
    for name in BACKBONES:
        assert visit.page.get_by_role("table").get_by_role("link", name=name, exact=True).is_visible()
