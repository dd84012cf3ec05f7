"""What waited for a tracking server, sent when it is asked for."""

from __future__ import annotations

from pathlib import Path

from iqa.tracking.notes import read_run_note
from iqa.tracking.sending.outbox import Outbox
from iqa.tracking.store import good_manners, tracking_uri


@good_manners()
def send_waiting(directory: Path, uri: str | None = None) -> tuple[int, int]:
    """Send what waits in an experiment's folder, in its order.

    Args:
        directory: holds tracking_pending.jsonl, if anything waits.
        uri: of the store; None: MLFLOW_TRACKING_URI, else where the folder's run is.

    Returns:
        how many deliveries were sent, and how many still wait.

    Raises:
        UserError: a tracking URI that cannot be used.
    """
    outbox = Outbox(tracking_uri(uri, read_run_note(directory).get("tracking_uri")), directory)
    before = outbox.waiting
    if before:
        outbox.connect()
    return before - outbox.waiting, outbox.waiting
