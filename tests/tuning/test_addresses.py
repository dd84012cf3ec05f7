"""Where a study cannot be kept is said before anything is made there, with what to write in its place."""

from __future__ import annotations

import hashlib
import logging
import socket
import sqlite3
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from iqa.errors import UserError
from iqa.tuning.storage import checks, open_storage
from iqa.tuning.storage.addresses import public_url
from iqa.tuning.storage.checks import journal_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(url: str) -> str:
    with pytest.raises(UserError, match="cannot be used") as error:
        open_storage(url, 20)
    message = str(error.value)
    assert len(message.encode()) < 2000
    assert "secret" not in message
    return message


def fix_of(url: str) -> str:
    return refusal(url).rpartition("fix: ")[2]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("optuna.db", "sqlite:///optuna.db"),
        ("studies/mine", "sqlite:///studies/mine"),
        ("/data/optuna.sqlite", "sqlite:////data/optuna.sqlite"),
        ("study.log", "journal:///study.log"),
        ("sqlite:optuna.db", "sqlite:///optuna.db"),
        ("sqlite:/optuna.db", "sqlite:///optuna.db"),
        ("sqlite://optuna.db", "sqlite:///optuna.db"),
        ("sqlite://", "sqlite:///optuna.db"),
        ("sqlite:///:memory:", "sqlite:///optuna.db"),
        ("journal:study.log", "journal:///study.log"),
        ("journal://study.log", "journal:///study.log"),
        ("journal://deep/study.log", "journal:///deep/study.log"),
        ("", "sqlite:///optuna.db"),
        ("SQLite:///optuna.db", "sqlite://"),
        ("sqllite:///optuna.db", "sqlite://"),
        ("postgres://me:secret@host/db", "postgresql://"),
        ("mariadb://me:secret@host/db", "mysql+pymysql://"),
        ("me:secret@host/db", "postgresql://"),
        ("redis://:secret@host:6379/0", "sqlite:///optuna.db"),
        ("oracle://me:secret@host/db", "sqlite:///optuna.db"),
        ("x" * 5000, "sqlite:///xxx"),
    ],
)
def test_an_address_of_no_known_form_is_told_the_one_that_was_meant(folder: Path, url: str, meant: str) -> None:
    assert meant in fix_of(url)
    assert "server runs" not in refusal(url)
    assert list(folder.iterdir()) == []


def test_a_bare_name_is_told_by_what_the_file_holds(folder: Path) -> None:
    open_storage("journal:///mine", 20)
    optuna.create_study(storage=open_storage("journal:///mine", 20), study_name="s")
    assert "journal:///mine" in fix_of("mine")
    assert "journal:///mine" in fix_of("sqlite:///mine")


def test_three_slashes_are_relative_and_four_are_not(folder: Path) -> None:
    open_storage("journal:///deep/study.log", 20)
    assert (folder / "deep" / "study.log").is_file()
    open_storage(f"journal:///{folder}/absolute.log", 20)
    assert (folder / "absolute.log").is_file()
    open_storage("sqlite:///deep/optuna.db", 20)
    assert (folder / "deep" / "optuna.db").is_file()
    open_storage(f"sqlite:///{folder}/absolute.db", 20)
    assert (folder / "absolute.db").is_file()


def test_a_study_where_earlier_versions_kept_it_is_not_lost_sight_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    optuna.create_study(storage=open_storage(f"journal:///{folder}/study.log", 20), study_name="s")
    former = f"journal://{folder}/study.log"
    assert f"journal:///{folder}/study.log goes on" in fix_of(former)
    with caplog.at_level(logging.WARNING):
        assert journal_file(f"journal://{folder}/new.log") == Path(str(folder)[1:]) / "new.log"
    assert "from the root" in caplog.text


@pytest.mark.parametrize("url", ["sqlite:///~/optuna.db", "journal:///~/study.log"])
def test_a_home_that_only_a_shell_knows_is_written_out(folder: Path, url: str) -> None:
    assert f":///{Path.home()}/" in fix_of(url)
    assert list(folder.iterdir()) == []


# What is there already


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def tables(file: Path, *names: str, revision: str | None) -> None:
    """A database as other programs leave it."""
    connection = sqlite3.connect(file)
    for name in names:
        connection.execute(f"CREATE TABLE {name} (id INTEGER)")
    if revision is not None:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.commit()
    connection.close()


def left_alone(file: Path) -> str:
    before = digest(file)
    message = refusal(f"sqlite:///{file.name}")
    assert digest(file) == before
    assert {each.name for each in file.parent.iterdir()} - {f".{file.name}.lock"} == {file.name}
    return message


def test_mlflows_own_database_is_refused_untouched(folder: Path) -> None:
    from iqa.tracking.store import connect

    connect(f"sqlite:///{folder}/mlflow.db")
    message = left_alone(folder / "mlflow.db")
    assert "MLflow" in message
    assert "sqlite:///optuna.db" in message


def test_mlflows_database_is_refused_also_with_optunas_tables_in_it(folder: Path) -> None:
    names = ("experiments", "runs", "metrics", "studies", "trials", "version_info")
    tables(folder / "mixed.db", *names, revision="1bd49d398cd23")
    assert "MLflow" in left_alone(folder / "mixed.db")


def test_another_programs_database_is_refused_untouched(folder: Path) -> None:
    tables(folder / "shop.db", "orders", revision="ae1027a6acf")
    assert "another program" in left_alone(folder / "shop.db")


@pytest.mark.parametrize(
    ("revision", "told"), [("v2.6.0.a", "optuna storage upgrade --storage sqlite:///study.db"), ("v99.0.0.a", "pip")]
)
def test_a_study_of_another_optuna_is_refused_untouched(folder: Path, revision: str, told: str) -> None:
    tables(folder / "study.db", "studies", "trials", "version_info", revision=revision)
    assert told in left_alone(folder / "study.db")


@pytest.mark.parametrize("content", [b"hello\n", b"SQLite format 3\0" + b"x" * 5000, b"PK\3\4" + bytes(100)])
def test_a_file_that_is_no_database_is_refused_untouched(folder: Path, content: bytes) -> None:
    (folder / "file.db").write_bytes(content)
    left_alone(folder / "file.db")


@pytest.mark.parametrize("content", [b"hello\n", b"SQLite format 3\0" + bytes(100), b'{"a": 1}\n', b"{1\n"])
def test_a_file_that_is_no_journal_is_refused_untouched(folder: Path, content: bytes) -> None:
    (folder / "file.log").write_bytes(content)
    refusal("journal:///file.log")
    assert (folder / "file.log").read_bytes() == content
    assert [each.name for each in folder.iterdir()] == ["file.log"]


def test_a_folder_is_no_storage(folder: Path) -> None:
    (folder / "here").mkdir()
    for kind in ("sqlite", "journal"):
        assert f"{kind}:///here/optuna.db" in fix_of(f"{kind}:///here/")


def test_an_empty_file_and_ones_own_study_are_fine(folder: Path) -> None:
    for name in ("empty.db", "empty.log"):
        (folder / name).touch()
    tables(folder / "photos.db", "photos", revision=None)
    for url in ("sqlite:///empty.db", "journal:///empty.log", "sqlite:///photos.db"):
        for _ in range(2):
            study = optuna.create_study(storage=open_storage(url, 20), study_name="s", load_if_exists=True)
        assert study.trials == []


@pytest.mark.parametrize("url", ["sqlite:////proc/none/optuna.db", "journal:////proc/none/study.log"])
def test_a_place_that_cannot_be_written_is_one_message(url: str) -> None:
    assert "can be written" in fix_of(url)


# Servers


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/db", "pip install psycopg2-binary"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "pip install 'psycopg[binary]'"),
        ("postgresql+pg8000://me:secret@127.0.0.1:1/db", "pip install pg8000"),
        ("mysql+mysqldb://me:secret@127.0.0.1:1/db", "pip install mysqlclient"),
        ("mysql://me:secret@127.0.0.1:1/db", "pip install mysqlclient"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/db", "pip install PyMySQL"),
        ("mysql+mysqlconnector://me:secret@127.0.0.1:1/db", "pip install mysql-connector-python"),
        ("mysql+nosuch://me:secret@127.0.0.1:1/db", "mysql+pymysql://"),
        ("postgresql+nosuch://me:secret@127.0.0.1:1/db", "postgresql+psycopg://"),
    ],
)
def test_a_missing_driver_is_named_with_its_own_package(monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    for module in ("psycopg", "psycopg2", "pg8000", "MySQLdb", "pymysql", "mysql", "mysql.connector"):
        monkeypatch.setitem(sys.modules, module, None)
    assert told in fix_of(url)


def test_a_missing_grpc_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    assert "pip install grpcio" in fix_of("grpc://localhost:13000")


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any driver counts as installed."""
    from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    for dialect in (MySQLDialect_pymysql, PGDialect_psycopg):
        monkeypatch.setattr(dialect, "import_dbapi", classmethod(lambda kind: types.SimpleNamespace()))
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:secret@127.0.0.1:{}/db",
        "mysql+pymysql://me:top/secret@127.0.0.1:{}/db",
        "postgresql+psycopg://me:secret[@127.0.0.1:{}/db",
        "grpc://127.0.0.1:{}",
    ],
)
def test_a_server_that_does_not_answer_is_told_from_a_missing_driver(drivers: None, url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        message = refusal(url.format(port))
    assert f"no server answers at 127.0.0.1:{port}" in message
    assert "pip" not in message


@pytest.fixture
def deaf_server() -> Iterator[int]:
    """The port of a server that accepts a connection and speaks no database's language."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_refuses_is_quoted_without_the_password(
    monkeypatch: pytest.MonkeyPatch, deaf_server: int
) -> None:
    pytest.importorskip("pymysql")

    def refuse(*_: object, **options: object) -> None:
        raise PermissionError(f"access denied for {options}, {options.get('password')}")

    monkeypatch.setattr("pymysql.connect", refuse)
    message = refusal(f"mysql+pymysql://me:top%2Fsecret@127.0.0.1:{deaf_server}/db")
    assert "access denied" in message
    assert "check user, password" in message


def test_a_password_with_an_at_sign_is_told_how_to_be_written() -> None:
    assert "%40" in fix_of("postgresql+psycopg://me:sec@secret@host/db")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://me:se/cret#@host/db", "postgresql://host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db"),
        ("postgresql://host/db?user=me@x&password=secret", "postgresql://..."),
        ("mysql://me:se?cret@host/db", "mysql://..."),
        ("sqlite:////home/me@work/optuna.db", "sqlite:////home/me@work/optuna.db"),
        ("unknown://me:secret@host", "unknown://host"),
        ("me:secret@host/db", "host/db"),
        ("optuna.db", "optuna.db"),
    ],
)
def test_an_address_is_shown_without_password(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_braces_in_a_name_are_not_optunas(folder: Path) -> None:
    open_storage("sqlite:///{mine}.db", 20)
    assert (folder / "{mine}.db").is_file()
