"""What it means that a store of MLflow does not take something: whether to try again, and what a person can do."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Literal

from iqa.errors import IqaError, first_line

#: What to do with a delivery that failed: give it up, try its parts, keep it, or keep it and all that follow.
Verdict = Literal["refused", "apart", "later", "unreachable"]

#: MLflow's error codes for what will be refused again, however often it is sent.
REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST"}
#: Statuses of HTTP in the words of MLflow's exceptions, some of which carry no code.
_STATUS = re.compile(r"(?:error code|too many) (\d{3})\b")
_NO_JSON = "not in a valid JSON format"
_TIMED_OUT = ("timeout", "timed out")
#: Keys of a login by environment variables.
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN")

#: SQLite's words for a disk that has no room.
FULL = "database or disk is full"
NO_ROOM = "has no room left on its disk: free some"
OLD = "knows nothing of the kind (404): it is older than what is sent, or its address lacks a part"
PAGE = (
    "answers with a page where MLflow's own words were expected: a login page or a proxy stands before it, or the "
    "address is another program's; open the address in a browser"
)


@dataclass(frozen=True)
class Answer:
    """What a store said or did instead of taking a delivery.

    Attributes:
        verdict: what becomes of the delivery.
        told: what is wrong and what helps, as it follows "the tracking server ADDRESS".
        server: whether it was a server that answered: it lives, and may take other things.
        hangs: whether it took the request and said nothing.
    """

    verdict: Verdict
    told: str
    server: bool = False
    hangs: bool = False


def answer_of(error: BaseException) -> Answer:
    """What an exception of MLflow, of its HTTP library or of its database means."""
    code, status = getattr(error, "error_code", None), status_of(error)
    words = str(error)
    if status == 404 and code not in REFUSED:
        return Answer("refused", OLD, server=True)
    if code in REFUSED or isinstance(error, IqaError):
        return Answer("refused", first_line(error), server=status is not None)
    if FULL in words:
        return Answer("unreachable", NO_ROOM)
    if status is not None:
        return Answer("later" if status == 413 else "unreachable", said_of(status, words), server=True)
    if _NO_JSON in words or _caused_by(error, json.JSONDecodeError):
        return Answer("unreachable", PAGE, server=True)
    if code == "TEMPORARILY_UNAVAILABLE" or "API request to" in words or _lost_connection(error):
        hangs = any(each in words.lower() for each in _TIMED_OUT)
        # A refused connection needs no more words; a locked or failing database does.
        reason = "" if "API request" in words else f" ({first_line(error)})"
        return Answer("unreachable", f"does not answer{' in time' if hangs else ''}{reason}", hangs=hangs)
    if isinstance(error, FileNotFoundError | IsADirectoryError | TypeError | ValueError):
        return Answer("refused", first_line(error))
    return Answer("later", first_line(error))


def said_of(status: int, words: str = "") -> str:
    """What a status of HTTP says of a server, and what helps."""
    if status == 401:
        known = any(os.environ.get(name) for name in LOGIN)
        fix = "check" if known else "set"
        wants = "does not know this login (401)" if known else "wants a login (401)"
        return f"{wants}: {fix} MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    if status == 403 and "host" in words.lower() and "invalid" in words.lower():
        return "refuses the name in its address (403): start it with --allowed-hosts NAME"
    return {
        403: "does not let this login write there (403): ask whoever runs it for the right to",
        407: "is behind a proxy that wants a login (407): set HTTPS_PROXY with user and password",
        408: "gave up waiting (408)",
        413: "takes nothing of this size (413): raise the limit of the proxy before it, such as nginx's "
        "client_max_body_size",
        429: "has too much to do (429)",
        507: "has no room left on its disk (507)",
    }.get(status, f"fails ({status}{_reason(words)}); its own log says why")


def status_of(error: BaseException) -> int | None:
    """The status of HTTP that an exception tells of; None where no server answered."""
    response = getattr(error, "response", None)
    if isinstance(status := getattr(response, "status_code", None), int):
        return status
    if found := _STATUS.search(str(error)):
        return int(found[1])
    if type(error).__name__ == "RestException":
        status = error.get_http_status_code()  # type: ignore[attr-defined]
        return int(status)
    return None


def _reason(words: str) -> str:
    """What a failing server says of itself, where that is a sentence and no page."""
    body = re.search(r"(?:Response body: '|Response text: |INTERNAL_ERROR: )([^<{'].{0,200})", words)
    return f": {first_line(body[1]).rstrip(chr(39))}" if body else ""


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _lost_connection(error: BaseException | None) -> bool:
    while error is not None:
        # requests' own errors are OSErrors; its names tell them from those of the local disk.
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        if type(error).__module__.startswith(("requests", "urllib3")):
            return True
        error = error.__cause__ or error.__context__
    return False
