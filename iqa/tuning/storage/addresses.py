"""Addresses of studies: the known forms, and what was meant by one of another form."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import make_url

from iqa.errors import UserError, cut, first_line
from iqa.tracking.store import public_uri

KINDS = ("sqlite", "postgresql", "mysql", "grpc", "journal")
FORMS = (
    "sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, mysql+pymysql://USER:PASSWORD@HOST/DATABASE, "
    "grpc://HOST:PORT or journal:///FILE; a FILE from the root of the disk begins with a slash of its own, the fourth"
)
#: What others call it -> what it is called here.
ALSO_CALLED = {"postgres": "postgresql", "mariadb": "mysql+pymysql", "file": "sqlite", "http": "grpc", "https": "grpc"}
JOURNAL_SUFFIXES = (".log", ".journal", ".jsonl")


def kind_of(url: str) -> str:
    """One of KINDS.

    Raises:
        UserError: `url` has none of the known forms, with the one that was meant.
    """
    scheme, mark, _ = url.partition("://")
    kind = scheme.partition("+")[0]
    if mark and kind in KINDS:
        return kind
    if not mark:
        raise _bare(url)
    if meant := ALSO_CALLED.get(kind.lower(), kind.lower() if kind.lower() in KINDS else None):
        fix = f"{meant}:// in place of {cut(scheme)}://"
    elif close := difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.7):
        fix = f"{close[0]}:// in place of {cut(scheme)}://"
    else:
        fix = "sqlite:///optuna.db for one machine; journal:///FILE on a disk that they share, or a server, for several"
    raise refused(url, f"no kind of storage is called '{cut(scheme)}'", fix, expected=FORMS)


def _bare(url: str) -> UserError:
    """What to do about an address without ://."""
    name = re.sub(rf"^({'|'.join(KINDS)}):/*(?=/|[^/])", "", url)
    if not name.strip("/"):
        return refused(url, "no address", "--storage sqlite:///optuna.db", expected=FORMS)
    if "@" in name:
        return refused(url, "no kind of storage", "put postgresql:// or mysql+pymysql:// before it", expected=FORMS)
    said = url.partition(":")[0]
    is_journal = said == "journal" or name.endswith(JOURNAL_SUFFIXES) or begins(Path(name)).startswith(b"{")
    kind = "journal" if is_journal and said != "sqlite" else "sqlite"
    return refused(url, "a file without the kind of storage", f"--storage {kind}:///{cut(name)}", expected=FORMS)


def public_url(url: str) -> str:
    """`url` as a message may have it, without the user and password that it may carry."""
    kind, mark, rest = url.partition("://")
    if kind.partition("+")[0] in ("sqlite", "journal") or (not mark and "@" not in url):
        return cut(url.partition("?")[0])
    # What is of no known kind is read like a database, of which least is shown.
    return cut(public_uri(f"postgresql://{rest or url}").replace("postgresql://", f"{kind}://" if mark else "", 1))


def refused(url: str, got: str, fix: str, *, expected: str | None = None) -> UserError:
    return UserError(f"the study's storage {public_url(url)} cannot be used", got=got, expected=expected, fix=fix)


def file_of(url: str) -> Path:
    """The file of sqlite:///FILE or journal:///FILE: three slashes before one in the working directory, four before one
    from the root.

    Raises:
        UserError: fewer slashes, no name, or one that only a shell understands.
    """
    scheme, _, rest = url.partition("://")
    name = rest.partition("?")[0] if scheme.startswith("sqlite") else rest
    if name in ("", "/", "/:memory:", ":memory:"):
        raise refused(url, "no file, so that nothing would be kept", f"name one: {scheme}:///optuna.db")
    if not name.startswith("/"):
        raise refused(url, "two slashes", f"{scheme}:///{cut(name)} for a file in the working directory")
    if name.startswith("/~"):
        raise refused(url, "a folder called ~", f"{scheme}:///{cut(str(Path(name[1:]).expanduser()))}")
    path = Path(name[1:])
    if path.is_dir():
        raise refused(url, "a folder", f"name a file in it: {scheme}://{cut(name.rstrip('/'))}/optuna.db")
    return path


def begins(path: Path) -> bytes:
    """The first bytes of a file; none where there is no file, or none that can be read."""
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError:
        return b""  # who opens it for good says why it cannot be


def unusable(url: str, error: BaseException) -> UserError:
    """What stopped a storage that has passed every check, without its password."""
    while error.__cause__ is not None:  # Optuna's own words for it are always the same
        error = error.__cause__
    said = str(error).strip() or type(error).__name__
    for secret in _secrets(url):
        said = said.replace(secret, "...")
    is_file = url.startswith(("sqlite", "journal"))
    fix = (
        "name another file, in a folder that can be written"
        if is_file
        else "check user, password, database and what the user may do"
    )
    return refused(url, f"{type(error).__name__}: {first_line(said)}", fix)


def _secrets(url: str) -> list[str]:
    try:
        parts = make_url(url)
    except Exception:
        return []
    told = [parts.password, *(value for key, value in parts.query.items() if not re.search("host|port|ssl", key))]
    return [form for each in told if each for form in (str(each), quote(str(each), safe=""))]
