"""What MLflow has not taken yet, kept in an experiment's folder until it does.

Several processes may work in one folder, such as the workers of a study: each line says whose it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from iqa.errors import IqaError
from iqa.files import write_text
from iqa.processes import is_alive, this_process
from iqa.tracking.sending.delivery import PENDING, TRIED, Delivery

#: Key of a line that says which process keeps it.
OWNER = "by"


class Pending:
    """The deliveries that this process keeps in a folder, beside those of others.

    Args:
        directory: the experiment's folder; None keeps nothing on disk.
    """

    def __init__(self, directory: Path | None) -> None:
        self._file = directory / PENDING if directory else None

    def take(self) -> list[Delivery]:
        """What waits there and no other living process keeps, in its order; from now on this process keeps it.

        What a process leaves that is gone may have been delivered in its last moment: it comes marked as such.
        """
        if self._file is None or not self._file.is_file():
            return []
        me = this_process()
        with self._alone():
            lines = list(self._lines())
            owners = {line[OWNER] for line in lines if OWNER in line} - {me}
            living = {owner for owner in owners if is_alive(owner)}
            mine = [line for line in lines if line.get(OWNER) not in living]
            taken = [_marked(line) if line.get(OWNER) in owners else line for line in mine]
            theirs = [line for line in lines if line.get(OWNER) in living]
            with suppress(OSError, IqaError):  # on a full disk they are sent all the same
                self._write(theirs + [{**line, OWNER: me} for line in taken])
        return [{key: value for key, value in line.items() if key != OWNER} for line in taken]

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Keep these of this process, and no others of it.

        Raises:
            OSError, IqaError: they cannot be written.
        """
        if self._file is None or not (deliveries or self._file.exists()):
            return
        me = this_process()
        with self._alone():
            others = [line for line in self._lines() if line.get(OWNER) != me]
            self._write(others + [{**each, OWNER: me} for each in deliveries])

    def add(self, delivery: Delivery) -> None:
        """Keep this one too.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is not None:
            with self._alone(), self._file.open("a", encoding="utf-8") as file:
                # What a full disk cut short before it must not spoil this line, too.
                file.write("\n" + _line({**delivery, OWNER: this_process()}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from the file."""
        from filelock import FileLock

        assert self._file is not None
        with ExitStack() as lock:
            with suppress(OSError):  # nobody writes where nobody may
                lock.enter_context(FileLock(self._file.with_name(f".{self._file.name}.lock")))
            yield

    def _lines(self) -> Iterator[Delivery]:
        assert self._file is not None
        text = self._file.read_text(encoding="utf-8") if self._file.is_file() else ""
        for line in text.splitlines():
            try:
                delivery = json.loads(line)
            except ValueError:
                continue  # cut short by a crash
            if isinstance(delivery, dict) and {"what", "run"} <= delivery.keys():
                if not isinstance(delivery.get(OWNER, ""), str):
                    del delivery[OWNER]
                yield delivery

    def _write(self, lines: Sequence[Delivery]) -> None:
        assert self._file is not None
        if lines:
            write_text(self._file, "".join(map(_line, lines)))
        else:
            self._file.unlink(missing_ok=True)


def relative_path(path: Path, directory: Path | None) -> str:
    """`path` relative to the experiment folder if it lies inside, so that a moved folder still delivers."""
    path = Path(path).resolve()
    if directory and path.is_relative_to(Path(directory).resolve()):
        return str(path.relative_to(Path(directory).resolve()))
    return str(path)


def _line(delivery: Delivery) -> str:
    return json.dumps(delivery) + "\n"


def _marked(delivery: Delivery) -> Delivery:
    """What may have been delivered before, so that its run and figures are not there twice."""
    if delivery["what"] == "metrics":
        return {**delivery, "what": "again"}
    return {**delivery, TRIED: True} if delivery["what"] == "create" else delivery
