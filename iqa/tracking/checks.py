"""What MLflow would refuse in the end, found before anything is done for it."""

from __future__ import annotations

import os

from iqa.config import ExperimentConfig
from iqa.errors import UserError, cut, first_line
from iqa.tracking.run import LAUNCHED, wanted_experiment
from iqa.tracking.sending.answers import answer_of
from iqa.tracking.sending.delivery import find_experiment, find_run
from iqa.tracking.store import check_uri, connect, good_manners, shown, tracking_uri, trouble_with


@good_manners()
def check_place(config: ExperimentConfig, noted: str | None = None) -> None:
    """See to it that MLflow has a place for a run of this config; a server that does not answer is no reason to stop.

    Args:
        noted: tracking URI of the run that goes on.

    Raises:
        UserError: a tracking URI that cannot be used, an experiment that was deleted or is not there, or an
            MLFLOW_RUN_ID of no run.
    """
    if not config.tracking.enabled:
        return
    uri = tracking_uri(config.tracking.uri, noted)
    check_uri(uri)
    if trouble_with(uri):
        return
    client, launched = connect(uri), os.environ.get(LAUNCHED)
    try:
        if launched:
            find_run(client, launched)
        else:
            find_experiment(client, wanted_experiment(config))
    except UserError:
        raise
    except Exception as error:
        if launched and answer_of(error).verdict == "refused":
            raise UserError(
                f"{LAUNCHED} names no run of {shown(uri)}",
                got=f"{cut(launched)}: {first_line(error)}",
                fix=f"unset {LAUNCHED}, or set MLFLOW_TRACKING_URI to the store that has the run",
            ) from error
