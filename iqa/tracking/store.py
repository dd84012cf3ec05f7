"""Reaching the place where MLflow keeps runs: its address, and whether it answers."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from iqa.errors import IqaError, UserError, cut, first_line
from iqa.tracking.embedded import database_file, make_database
from iqa.tracking.sending.answers import FULL, NO_ROOM, PAGE, answer_of, said_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow retries a request for minutes; here what cannot be delivered is kept and sent later instead.
MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
#: Loggers whose news would break into the training's own lines.
CHATTY = (
    "alembic",
    "mlflow.system_metrics",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry",
    "mlflow.models.signature",
    "mlflow.pyfunc",
)
PROBE_SECONDS = 5
#: Of a system call that found no room, or no more that is this user's.
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
#: Limits of MLflow: entries of one batch.
PARAMS_PER_BATCH, METRICS_PER_BATCH, TAGS_PER_BATCH = 100, 800, 100
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

#: Kinds of address that are read as SQLAlchemy does: a password ends at the last @.
DATABASES = (*DATABASE_PORTS, "postgres", "mariadb", "oracle", "redis", "rediss")


def tracking_uri(wanted: str | None = None, noted: str | None = None) -> str:
    """The address in use: `wanted`, else MLFLOW_TRACKING_URI, else a noted server, else MLflow's default.

    A noted database file is not followed, because folders move; a noted server stays where it is.
    """
    from mlflow.tracking import get_tracking_uri, is_tracking_uri_set

    if wanted:
        return wanted
    if not is_tracking_uri_set() and noted and urlsplit(noted).scheme in ("http", "https"):
        return noted
    return str(get_tracking_uri())


@contextmanager
def good_manners() -> Iterator[None]:
    """Let MLflow give up soon and keep its news to itself, for as long as the block lasts."""
    import mlflow  # noqa: F401 - sets levels of its own when it is first imported

    added = {name: value for name, value in MANNERS.items() if name not in os.environ}
    os.environ.update(added)
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def connect(uri: str) -> MlflowClient:
    """A client of the store at `uri`; a SQLite file is created (about 7 s) if there is none.

    Raises:
        UserError: `uri` names no kind of store that MLflow knows, or one that cannot be opened.
    """
    check_uri(uri)
    from mlflow import MlflowClient

    try:
        make_database(uri)
        return MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise bad_uri(uri, error) from error


def check_uri(uri: str) -> None:
    """Refuse at once what MLflow would refuse after minutes of retries.

    Raises:
        UserError: no host, or a database file where nothing can be written.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        if uri.partition(":")[0].partition("+")[0] in DATABASES:
            return  # SQLAlchemy reads these, and takes more in a password
        raise bad_uri(uri, error) from error
    if parts.scheme in ("http", "https"):
        try:
            valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            valid = False
        if not valid:
            raise bad_uri(uri, "no host, or no valid port")
    if file := database_file(uri):
        beside = next((folder for folder in file.absolute().parents if folder.exists()), Path("/"))
        if file.is_dir() or not os.access(file if file.exists() else beside, os.W_OK):
            raise bad_uri(uri, f"{file} cannot be written")
        if file.exists() and file.stat().st_size and file.open("rb").read(15) != b"SQLite format 3":
            raise bad_uri(uri, f"{file} is no SQLite database")


def bad_uri(uri: str, reason: object) -> UserError:
    return UserError(
        f"MLflow cannot use the tracking URI {shown(uri)}",
        got=first_line(str(reason).replace(uri, shown(uri))),
        expected="http://host:port of a server, sqlite:///file.db, postgresql://..., mysql://...",
        fix="set tracking.uri or MLFLOW_TRACKING_URI, leave both out for ./mlflow.db, "
        "or train with --tracking.enabled false",
    )


def trouble_with(uri: str) -> str | None:
    """What keeps the store at `uri` from being used, found within seconds and said as it follows its address; or None.

    Of a file, which is made if there is none, it is only whether its disk has room for it.
    """
    if uri.startswith(("http://", "https://")):
        from mlflow.tracking._tracking_service.utils import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        try:
            answer = http_request(get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=PROBE_SECONDS)
        except Exception as error:
            return answer_of(error).told
        if answer.status_code >= 400 and answer.status_code != 404:
            return said_of(answer.status_code, answer.text)
        return PAGE if answer.text.lstrip().startswith("<") and answer.status_code != 404 else None
    server = database_server(uri)
    if server is None:
        return _no_room_for(uri)
    try:
        socket.create_connection(server, timeout=PROBE_SECONDS).close()
    except OSError:
        return "does not answer"
    return None


def _no_room_for(uri: str) -> str | None:
    """What a full disk means for a database file that is not there yet."""
    if (file := database_file(uri)) is None or file.exists():
        return None
    try:
        make_database(uri)
    except Exception as error:  # any other is told by who opens it
        full = getattr(error, "errno", None) in FULL_DISK or FULL in str(error)
        return NO_ROOM if full else None
    return None


def reachable(uri: str) -> bool:
    """Whether the store at `uri` can be used, as far as seconds tell."""
    return trouble_with(uri) is None


def demand(uri: str) -> None:
    """See to it that the store at `uri` can be used.

    Raises:
        IqaError: it cannot, and why.
    """
    if trouble := trouble_with(uri):
        raise IqaError(f"the tracking server {shown(uri)} {trouble}", fix="check that it runs, and its address")


@contextmanager
def asking(
    address: str,
    refused: str,
    *,
    expected: str | None = None,
    fix: str | None = None,
    errors: type[Exception] = Exception,
) -> Iterator[None]:
    """Around what is asked of the store at `address`, which must answer, by a caller that cannot go on without it.

    Args:
        refused: what went wrong where the store answers, but not with what was asked for.
        errors: what counts as such an answer; others are faults of ours.

    Raises:
        UserError: `refused`, with what the store said.
        IqaError: the store does not answer.
    """
    demand(address)
    try:
        yield
    except IqaError:
        raise
    except Exception as error:
        answer = answer_of(error)
        if answer.verdict == "unreachable":
            raise IqaError(f"the tracking server {shown(address)} {answer.told}", got=first_line(error)) from error
        if not isinstance(error, errors):
            raise
        raise UserError(refused, got=first_line(error), expected=expected, fix=fix) from error


def database_server(uri: str) -> tuple[str, int] | None:
    """Host and port of the database server at `uri`; None where it names none."""
    usual_port = DATABASE_PORTS.get(uri.partition(":")[0].partition("+")[0])
    if usual_port is None:
        return None
    from sqlalchemy.engine import make_url

    try:
        parts = make_url(uri)
    except Exception:
        return None  # who opens it says what is wrong with it
    return (parts.host, parts.port or usual_port) if parts.host else None


def public_uri(uri: str) -> str:
    """`uri` without the user and password that it may carry, nor the options of a database, which may hold one too."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    place, query = rest.partition("?")[::2]
    if scheme.lower().partition("+")[0] in DATABASES:
        # An @ behind a ? is part of an option, or of a password that has both.
        return f"{scheme}://" + ("..." if "@" in query else place.rpartition("@")[2])
    host, slash, path = rest.partition("/")
    if "@" not in host and "@" in path and re.search(r":(?!\d*$)", host):
        return f"{scheme}://{path.rpartition('@')[2]}"  # a password with a slash in it
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def shown(uri: str) -> str:
    """`uri` as a message may have it."""
    return cut(public_uri(uri))
