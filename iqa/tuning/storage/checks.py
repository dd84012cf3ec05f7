"""What stands in the way of keeping studies at an address, found before anything is made or changed there."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import socket
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import NoSuchModuleError

from iqa.errors import cut, first_line
from iqa.tracking.store import database_server, reachable
from iqa.tuning.storage.addresses import FORMS, begins, file_of, public_url, refused, unusable

log = logging.getLogger(__name__)

#: The package that brings a driver, and the name by which a driver knows how long to wait for a connection.
PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "pymysql": "PyMySQL",
    "mysqlconnector": "mysql-connector-python",
}
PATIENCE = {"pg8000": "timeout", "mysqlconnector": "connection_timeout"}
#: Seconds that SQLite waits for another process which writes.
SQLITE_SECONDS = 60
GRPC_PORT = 13000
SQLITE_BEGINS = b"SQLite format 3\0"
#: Tables of MLflow, and of Optuna.
MLFLOW_TABLES, OPTUNA_TABLES = {"experiments", "runs", "metrics"}, {"studies", "trials", "version_info"}


def journal_file(url: str) -> Path:
    """The file of journal:///FILE, which need not exist.

    Raises:
        UserError: it holds something else, or was meant as earlier versions took it.
    """
    path = file_of(url)
    former = Path("/") / path
    if path != former and not path.exists():
        if _is_journal(former) and begins(former) and not url.partition(":///")[2].startswith("."):
            raise refused(
                url,
                f"no {cut(str(path))} in the working directory, but a study in {cut(str(former))}, which three slashes "
                "meant in earlier versions",
                f"journal:///{cut(str(former))} goes on with that one; journal:///./{cut(str(path))} begins another",
            )
        if former.parent.is_dir() and not path.parent.is_dir():
            told = f"journal:///{cut(str(path))} is in the working directory; from the root it is journal:///"
            log.warning("warning: %s%s", told, cut(str(former)))
    if begins(path).startswith(SQLITE_BEGINS):
        raise refused(url, "a SQLite database", f"sqlite:///{cut(str(path))}, or another file")
    if not _is_journal(path):
        raise refused(url, "a file that is no journal of Optuna's", "name another file, or one that is not there yet")
    return path


def _is_journal(path: Path) -> bool:
    """Whether a file is a journal of Optuna's, or may become one: it is empty or not there."""
    first, end, _ = begins(path).partition(b"\n")
    try:
        return not first or (first.startswith(b"{") and (not end or "op_code" in json.loads(first)))
    except ValueError:
        return False


def proxy_server(url: str) -> tuple[str, int]:
    """Host and port of grpc://HOST:PORT.

    Raises:
        UserError: no such form, no package that speaks it, or nobody who answers.
    """
    found = re.fullmatch(r"grpc://(\[[^\]]+\]|[^:/@]*)(?::(\d{1,5}))?/?", url)
    if found is None:
        raise refused(url, "no host and port", "such as grpc://localhost:13000", expected="grpc://HOST:PORT")
    if importlib.util.find_spec("grpc") is None:
        raise refused(url, "the package that speaks gRPC is not installed", "pip install grpcio protobuf")
    host, port = found[1] or "localhost", int(found[2] or GRPC_PORT)
    try:
        socket.create_connection((host.strip("[]"), port), timeout=5).close()
    except (OSError, OverflowError) as error:
        fix = "start it there (optuna.storages.run_grpc_proxy_server), or correct host and port"
        raise refused(url, f"no server answers at {cut(host)}:{port}", fix) from error
    return host, port


def check_sqlite(url: str) -> Path:
    """The file of sqlite:///FILE, which need not exist.

    Raises:
        UserError: it is no database, or somebody else's.
    """
    file = file_of(url)
    first = begins(file)
    if first and not first.startswith(SQLITE_BEGINS):
        if _is_journal(file):
            raise refused(url, "a journal of Optuna's", f"journal:///{cut(str(file))}, or another file")
        raise refused(url, "a file that is no SQLite database", "name another file, such as sqlite:///optuna.db")
    if first:
        readable = f"file:{quote(str(file.absolute()))}?mode=ro"
        _check_tables(
            url, {"creator": lambda: sqlite3.connect(readable, uri=True, timeout=SQLITE_SECONDS)}, "sqlite:///optuna.db"
        )
    return file


def check_database(url: str, seconds: int) -> dict[str, Any]:
    """What SQLAlchemy is to be told to open a database on a server, which waits `seconds` for it at most.

    Raises:
        UserError: no driver, no server, or a database that is somebody else's.
    """
    if url.partition("://")[2].partition("?")[0].count("@") > 1:
        raise refused(url, "more than one @", "write those of the user's name and password as %40")
    try:
        address = make_url(url)
    except Exception as error:
        fix = "write it like one of these, with %2F for a / in the password and so on"
        raise refused(url, "an address that cannot be read", fix, expected=FORMS) from error
    driver = _driver(url, address)
    if not reachable(url):
        host, port = database_server(url) or ("?", 0)
        raise refused(url, f"no server answers at {cut(host)}:{port}", "start it, or correct host and port")
    options = {"connect_args": {PATIENCE.get(driver, "connect_timeout"): seconds}}
    _check_tables(url, options, "a database of its own on that server")
    return options


def _driver(url: str, address: URL) -> str:
    """The name of the driver; UserError if it is not there, or works another way."""
    kind, driver = address.get_backend_name(), address.drivername.partition("+")[2]
    usual = {"postgresql": "psycopg", "mysql": "pymysql"}[kind]
    try:
        driver = driver or address.get_driver_name()
        dialect = address.get_dialect()
        dialect.import_dbapi()
    except NoSuchModuleError as error:
        raise refused(url, f"no driver is called '{cut(driver)}'", f"write {kind}+{usual}://") from error
    except ImportError as error:
        got = f"the driver {driver} is not installed, or not whole: {first_line(error)}"
        raise refused(url, got, f"pip install {PACKAGES.get(driver, driver)}") from error
    if dialect.is_async:
        raise refused(url, f"{driver} is a driver for asynchronous programs", f"write {kind}+{usual}://")
    return driver


def _check_tables(url: str, options: dict[str, Any], instead: str) -> None:
    """Look, without a change, whether a database is another program's, or of another version of Optuna: UserError."""
    engine = create_engine("sqlite://" if "creator" in options else url, **options)
    try:
        tables, revisions = _look(engine)
    except Exception as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()
    if not revisions:
        return
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(optuna.storages._rdb.__file__).parent / "alembic"))
    if revisions == {scripts.get_current_head()}:
        return
    if revisions <= {script.revision for script in scripts.walk_revisions()}:
        got, fix = "a database of an earlier Optuna", f"optuna storage upgrade --storage {public_url(url)}"
    elif tables >= MLFLOW_TABLES:
        got, fix = "the database in which MLflow keeps its runs", f"give studies one of their own: {instead}"
    elif tables >= OPTUNA_TABLES:
        got, fix = "a database of a later Optuna", f"pip install -U optuna, or another database: {instead}"
    else:
        got, fix = "a database of another program", f"give studies one of their own: {instead}"
    raise refused(url, got, fix)


def _look(engine: Engine) -> tuple[set[str], set[str]]:
    """Names of the tables, and the versions of them that their program has noted."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        noted = (
            connection.execute(text("SELECT version_num FROM alembic_version")) if "alembic_version" in tables else ()
        )
        return tables, {str(version) for (version,) in noted}
