"""Hands deliveries to MLflow from a thread of its own, and keeps on disk what cannot be delivered."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.errors import cut, first_line
from iqa.tracking.notes import note_alias, read_run_note
from iqa.tracking.sending.answers import Answer, Verdict, answer_of
from iqa.tracking.sending.delivery import (
    CARRY_FILES,
    PENDING,
    SENDERS,
    create_run,
)
from iqa.tracking.sending.parts import Delivery, entries, halves, joined, neighbours
from iqa.tracking.sending.pending import Pending
from iqa.tracking.store import check_uri, connect, shown, trouble_with

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Run ids of runs that no server has seen yet begin so.
UNBORN = "pending-"
RETRY_SECONDS = 30.0
#: In which what is not delivered is surely kept.
KEEPING_SECONDS = 2.0
#: Deliveries in a row that a server may fail at, and still be tried with the next.
FAILURES = 3
#: MLflow's word for a run that is gone, with all that it could be told.
NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"
#: Different warnings of one run, and bytes of each: what is wrong with one figure may be wrong with a thousand.
MOST_WARNINGS, WARNING_LENGTH = 20, 1500

log = logging.getLogger(__name__)


class Outbox:
    """Deliveries in order, without the sender ever waiting for the server.

    Args:
        uri: tracking URI.
        directory: experiment folder, whose tracking_pending.jsonl holds what is undelivered; None: memory.
        gather: seconds in which what follows a delivery may join it; it is kept on disk meanwhile.
    """

    def __init__(self, uri: str, directory: Path | None, gather: float = 0) -> None:
        self.uri, self._gather = uri, gather
        self._directory = Path(directory).resolve() if directory else None
        self._pending = Pending(self._directory)
        self._kept: list[Delivery] = self._pending.take()
        #: What was put and not passed on yet, where that takes long enough for a kill to cost it.
        self._in_hand: list[Delivery] = []
        self._writing = threading.Lock()
        self._aliases: dict[str, str] = {}
        self._client: MlflowClient | None = None
        self._next_try = self._files_next_try = 0.0
        self._failures, self._hung = 0, False
        self._warned: set[str] = set()
        self._hurry = False
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    @property
    def down(self) -> bool:
        """Whether the server failed to answer at the last attempt."""
        return self._next_try > 0

    def connect(self) -> None:
        """Reach the server and send what waited from before, while the caller waits (seconds at most).

        Raises:
            UserError: the tracking URI cannot be used.
        """
        check_uri(self.uri)
        if trouble := trouble_with(self.uri):
            self._lost(trouble)
            return
        self.client()
        self._resend()

    @property
    def waiting(self) -> int:
        """Deliveries that are kept until the server takes them."""
        return len(self._kept)

    def open(self, opening: Delivery) -> Verdict | None:
        """Send `opening` while the caller waits, then start the thread that sends the rest.

        Returns:
            None if delivered; "unreachable" or "later" if kept; "refused" if the server will never take it.
        """
        verdict = "unreachable" if self.down else self._attempt(opening)
        if verdict in ("unreachable", "later"):
            self._keep([opening])
        if verdict != "refused":
            self._thread.start()
        return verdict

    def put(self, delivery: Delivery) -> None:
        with self._writing:
            self._queue.put(delivery)
            if self._gather:
                self._in_hand.append(delivery)
                self._write(lambda: self._pending.add(delivery))

    def run_id(self, run: str) -> str:
        """The server's id of `run`, where it has one by now."""
        if run.startswith(UNBORN) and run not in self._aliases:
            self._aliases |= read_run_note(self._directory).get("aliases", {})
        return self._aliases.get(run, run)

    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self.uri)
        return self._client

    def close(self, seconds: float | None = None) -> None:
        """Deliver what is left, in so many `seconds` at most, or until a second Ctrl-C; the rest is kept on disk."""
        self._queue.put(None)
        with suppress(KeyboardInterrupt):
            self._thread.join(seconds)
        if self._thread.is_alive():
            self._hurry = True
            self._thread.join(KEEPING_SECONDS)
        if self._kept and self._directory:
            warn(
                f"{len(self._kept)} deliveries to MLflow wait in {self._directory / PENDING}; they are sent "
                f"when this experiment is resumed or evaluated, or by: iqa sync {self._directory}"
            )
        elif self._kept:
            warn(f"{len(self._kept)} deliveries to MLflow are lost")

    def _work(self) -> None:
        waiting: list[Delivery | None] = []
        while None not in waiting:
            waiting = [self._queue.get()]
            until = time.monotonic() + self._gather
            with suppress(queue.Empty):
                while waiting[-1] is not None:
                    waiting.append(self._queue.get(timeout=max(0.0, until - time.monotonic())))
            passed_on = [item for item in waiting if item]
            for together in neighbours(passed_on):
                self._pass_on(together)
            if self._gather:
                del self._in_hand[: len(passed_on)]
                self._write_pending()
        # A server that takes requests and says nothing would keep the end of a training waiting.
        if self._kept and not self._hurry and not self._hung:
            self._resend()

    def _pass_on(self, together: list[Delivery]) -> None:
        waits = self.down or self._hurry
        self._keep(self._deliver(together))
        if waits and not self._hurry and time.monotonic() >= self._next_try:
            self._resend()

    def _deliver(self, together: list[Delivery]) -> list[Delivery]:
        """Hand over what MLflow takes together; returns what has to wait."""
        if self._waits(together[0]):
            return together
        several = len(together) > 1 or entries(together[0]) > 1
        verdict = self._attempt(joined(together), several=several)
        if verdict == "apart":
            # What is faulty must not cost the run the rest, down to the other figures of an epoch.
            parts = together if len(together) > 1 else halves(together[0])
            return [waiting for each in parts for waiting in self._deliver([each])]
        return together if verdict in ("unreachable", "later") else []

    def _waits(self, delivery: Delivery) -> bool:
        """Whether it is of no use to try it now."""
        files_wait = delivery["what"] in CARRY_FILES and time.monotonic() < self._files_next_try
        return self.down or self._hurry or files_wait

    def _attempt(self, delivery: Delivery, *, several: bool = False) -> Verdict | None:
        """Send; None if delivered, else what to do with it. A refusal of several is not told: they are tried apart."""
        what = delivery["what"]
        # A login page takes a file and says that all is well.
        if what in CARRY_FILES and (trouble := trouble_with(self.uri)):
            self._lost(trouble)
            return "unreachable"
        try:
            self._send(delivery)
        except Exception as error:
            answer = answer_of(error)
            of_several = several and getattr(error, "error_code", None) != NO_SUCH_RUN
            if of_several and (answer.verdict == "refused" or (answer.verdict == "later" and answer.server)):
                return "apart"
            if answer.verdict == "unreachable":
                return self._failed(what, answer)
            if answer.verdict == "later" or what != "reopen":
                self._warn_once(f"MLflow took no {what}: {self._sentence(answer)}")
            if answer.verdict == "later" and what in CARRY_FILES and not answer.server:
                self._files_next_try = time.monotonic() + RETRY_SECONDS
            return answer.verdict
        self._failures, self._hung = 0, False
        return None

    def _failed(self, what: str, answer: Answer) -> Verdict:
        """What becomes of a delivery that failed: does the server take other things?"""
        alive = answer.server or what in CARRY_FILES
        if alive and what not in ("create", "reopen") and not trouble_with(self.uri):
            if what in CARRY_FILES:
                self._files_next_try = time.monotonic() + RETRY_SECONDS
            else:
                self._failures += 1
            if self._failures < FAILURES:
                words = (
                    f"MLflow took no {what} yet: {self._sentence(answer)}; what it does not take is kept and sent later"
                )
                self._warn_once(words, answer.told)
                return "later"
        self._hung = answer.hangs
        self._lost(answer.told)
        return "unreachable"

    def _sentence(self, answer: Answer) -> str:
        """An answer as a sentence of its own."""
        return f"the tracking server {shown(self.uri)} {answer.told}" if answer.server else answer.told

    def _send(self, delivery: Delivery) -> None:
        client = self.client()
        run = self.run_id(delivery["run"])
        resolved = delivery | {"run": run}
        if "tags" in delivery:
            # A parent, or a run that a description links to, may have been born since.
            resolved["tags"] = {
                key: re.sub(rf"{UNBORN}\w+", lambda name: self.run_id(name[0]), value)
                if isinstance(value, str)
                else value
                for key, value in delivery["tags"].items()
            }
        if delivery["what"] == "create":
            if run == delivery["run"]:
                self._remember(run, create_run(client, resolved))
            return
        if run.startswith(UNBORN):
            raise RuntimeError(f"its run {run} could not be opened yet")
        if "path" in delivery and self._directory:
            resolved["path"] = str(self._directory / delivery["path"])
        SENDERS[delivery["what"]](client, resolved)

    def _remember(self, run: str, run_id: str) -> None:
        """Link the name a run had before its birth to the server's id, for this process and later ones."""
        self._aliases[run] = run_id
        try:
            note_alias(self._directory, self.client(), self.uri, run, run_id)
        except Exception as error:  # the run is there: later processes miss it, and this one goes on
            self._warn_once(f"what MLflow calls this run cannot be noted: {first_line(error)}")

    def _resend(self) -> None:
        """Send all that was kept, in order, and keep again what still fails."""
        waiting = self._kept
        if waiting and (trouble := trouble_with(self.uri)):
            self._lost(trouble)
            return
        was_down, self._next_try, self._files_next_try, self._failures = self.down, 0.0, 0.0, 0
        self._kept = [kept for together in neighbours(waiting) for kept in self._deliver(together)]
        self._write_pending()
        if was_down and not self.down:
            self._warned.clear()
            log.warning("MLflow answers again; what it missed was sent")

    def _keep(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._kept += deliveries
            self._write_pending()

    def _lost(self, told: str) -> None:
        self._next_try = time.monotonic() + RETRY_SECONDS
        self._warn_once(f"the tracking server {shown(self.uri)} {told}; what it misses is kept and sent later")

    def _warn_once(self, message: str, cause: str = "") -> None:
        """Tell it, unless it, or its cause, was told before."""
        if (cause or message) in self._warned or len(self._warned) > MOST_WARNINGS:
            return
        self._warned.add(cause or message)
        warn(message if len(self._warned) <= MOST_WARNINGS else "what else MLflow does not take is no longer told")

    def _write_pending(self) -> None:
        with self._writing:
            self._write(lambda: self._pending.keep(self._kept + self._in_hand))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            self._warn_once(f"what MLflow missed cannot be kept: {first_line(error)}")


def warn(message: str) -> None:
    log.warning("warning: %s", cut(message, WARNING_LENGTH))
