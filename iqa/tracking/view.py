"""What MLflow's UI shows of an experiment before anybody chose anything: its side, its description and a saved view.

All three are tags of the experiment. What stands there already, by a user's hand or ours, is never changed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from iqa.tracking.names import GROUPED, GROUPS
from iqa.tracking.store import connect, good_manners, public_uri, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

#: Where runs go when nobody names an experiment.
EXPERIMENT = "iqa"
#: The tag that MLflow shows as the description of an experiment or a run.
NOTE = "mlflow.note.content"
#: The tag that says which side of the UI an experiment opens on, and the side that shows trainings.
KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"
#: The name of the view in an address, and the tag that holds it.
SHARED = "iqa"
VIEW = f"mlflow.sharedViewState.{SHARED}"
#: Where `make ui` and `mlflow ui` listen.
LOCAL = "http://127.0.0.1:5000"

#: Columns that MLflow always shows, and those that the view adds, from left to right, with their widths in pixels.
LEADING = {"1": 64, "attributes.`Run Name`": 160, "runDateAndNestInfo": 130, "duration": 78}
COLUMNS = {
    **{f"metrics.`test/{name}`": 88 for name in ("srcc", "srcc_low", "srcc_high", "plcc", "plcc_low", "plcc_high")},
    **{"metrics.`model/parameters_millions`": 88, "metrics.`speed/median_images_per_second`": 88},
    **{"params.`model.backbone`": 150, "params.`model.n_clusters`": 112, "params.`data.dataset`": 92},
}
#: Charts of curves over the epochs, each by its figures.
CURVES = (["epoch/val/srcc"], ["epoch/train/loss", "epoch/val/loss"], ["epoch/train/learning_rate"])
PICTURES = (
    *("predictions_scatter", "training_curves", "sample_predictions"),
    *("cluster_distribution", "features_pca", "features_tsne"),
)
#: Groups of figures that MLflow draws one by one; they are folded below what is worth a look.
FOLDED = ("epoch/train", "epoch/val", "mixture", "model", "speed", "test", "val", "Model metrics", "System metrics")

ABOUT = """\
Models that say how good a picture looks. One row a training; its test is a child run, and the test's figures stand in \
the training's row too.

- `test/srcc`, `test/plcc`: rank and linear correlation with the scores of test pictures, with the ends of their 95 % \
intervals (`_low`, `_high`)
- `val/best_srcc`: the same on validation pictures, of the epoch that was kept
- `epoch/train/...`, `epoch/val/...`: curves over the epochs
- `model/parameters_millions`: size of the model; `speed/median_images_per_second`: pictures a second in training
- `model.backbone`, `model.n_clusters` (0: no mixture), `data.dataset`: what was trained on what

The search shows trainings alone; `tags.role = 'audit'` shows audits, and `'score'`, `'compare'` or `'tune'` those.

Runs of earlier versions have these figures under other names:

"""


def experiment_tags() -> dict[str, str]:
    """Side, description and view of an experiment, as tags."""
    return {KIND: TRAINING, NOTE: ABOUT + old_names(), VIEW: shared_view()}


def old_names() -> str:
    """How figures were called up to version 0.1, as a table in Markdown."""
    rows = [*((f"{old}...", f"{new}...") for old, new in GROUPS.items()), *GROUPED.items()]
    return "\n".join(["| then | now |", "|---|---|", *(f"| `{old}` | `{new}` |" for old, new in rows)])


def introduce(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment what it lacks of side, description and view."""
    from mlflow.exceptions import MlflowException

    for key, value in experiment_tags().items():
        if key not in experiment.tags:
            with suppress(MlflowException):  # of a store that keeps no tags; the runs are what matters
                client.set_experiment_tag(experiment.experiment_id, key, value)


def view_link(uri: str, experiment: str, local: str = LOCAL) -> str:
    """The address of the view: at a server's own, else where `mlflow ui` will listen."""
    server = public_uri(uri).rstrip("/") if uri.startswith(("http://", "https://")) else local
    # A browser that never saw the UI opens it on the side of language models.
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={SHARED}"


def artifact_link(run: str, path: str) -> str:
    """A file of a run, as the pages of the UI reach it wherever they are served."""
    return f"get-artifact?{urlencode({'path': path, 'run_uuid': run})}"


def run_link(experiment: str, run: str) -> str:
    """The page of a run."""
    return f"#/experiments/{experiment}/runs/{run}"


def children_link(experiment: str, run: str) -> str:
    """The table of a run's children."""
    query = urlencode({"searchFilter": f"tags.mlflow.parentRunId = '{run}'"})
    return f"#/experiments/{experiment}/runs?{query}"


def spaced(text: str) -> str:
    """Markdown whose tables have room between their columns, which the UI leaves out."""
    return re.sub(r" \| (?!--)", " | &nbsp;&nbsp;", text)


def shared_view() -> str:
    """The view as MLflow's UI saves one: columns, order, filter and charts, compressed."""
    # One picture over the whole width: the runs stand side by side in it.
    sections = [_section("curves", "Training curves"), _section("pictures", "Pictures") | {"columns": 1}]
    charts = [_line(keys) for keys in CURVES] + [_picture(key) for key in PICTURES]
    state = {
        "searchFilter": "tags.role = 'train'",
        "orderByKey": "metrics.`test/srcc`",
        "orderByAsc": False,
        "selectedColumns": [*COLUMNS],
        "columnOrder": [*LEADING, *COLUMNS],
        "columnWidths": LEADING | COLUMNS,
        # The order of the sections is ours, not the alphabet's.
        "isAccordionReordered": True,
        "compareRunSections": sections + [_section(name, name, display=False) for name in FOLDED],
        "compareRunCharts": charts,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), level=9)).decode()
    return json.dumps({"name": "iqa: models side by side", "createdAt": 0, "state": f"deflate;{packed}"})


def _section(uuid: str, name: str, *, display: bool = True) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": display, "isReordered": True}


def _line(keys: list[str]) -> dict[str, Any]:
    return {
        **{"type": "LINE", "uuid": keys[0], "metricSectionId": "curves", "runsCountToCompare": 10},
        **{"metricKey": keys[0], "selectedMetricKeys": keys, "yAxisKey": "metric", "yAxisExpressions": []},
        **{"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "range": {}, "lineSmoothness": 0},
        **{"selectedXAxisMetricKey": "", "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True},
    }


def _picture(key: str) -> dict[str, Any]:
    chart = {"type": "IMAGE", "uuid": key, "metricSectionId": "pictures", "imageKeys": [key], "step": 0}
    return chart | {"runsCountToCompare": 10, "showRunParams": False}


@good_manners()
def show_view(port: str) -> None:
    """Say where `make ui`, which listens at `port`, shows the view."""
    uri, local = tracking_uri(), f"http://127.0.0.1:{port}"
    experiment = None
    with suppress(Exception):  # a store that cannot be read is told by `mlflow ui` itself
        experiment = connect(uri).get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    print(f"open {view_link(uri, experiment.experiment_id, local) if experiment else local}", flush=True)
