"""Squares of any number of pictures: decoded ahead on threads, and put together per picture once predicted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from iqa.data.store.views import ViewPolicy
from iqa.errors import first_line
from iqa.processes import cores
from iqa.scoring.picture import Picture, describe, open_picture

#: Threads that decode where nothing is said: each holds a whole decoded picture.
MOST_WORKERS = 16


@dataclass(frozen=True)
class Seen:
    """One picture as the model sees it: its squares, uint8 [n, side, side, 3], or why there are none."""

    name: str
    squares: np.ndarray | None
    fault: str | None = None
    #: What has to be said of a picture that was read, or None.
    note: str | None = None


def decode_ahead(pictures: Iterable[Picture], views: ViewPolicy, workers: int | None, ahead: int) -> Generator[Seen]:
    """Pictures in order, cut to squares on threads before they are asked for.

    At most `workers` whole pictures and the squares of `workers + ahead` are in memory; `pictures` is read as it
    is needed. Whatever goes wrong while a file is read is that file's fault and becomes its `Seen.fault`.
    """
    workers = workers or min(MOST_WORKERS, cores())
    waiting: deque[Future[Seen]] = deque()
    threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for picture in pictures:
            waiting.append(threads.submit(_see, picture, views))
            if len(waiting) >= workers + ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _see(picture: Picture, views: ViewPolicy) -> Seen:
    try:
        opened = open_picture(picture)
        frames = int(opened.info.get("frames", 1))
        note = f"the first of {frames} frames or pages" if frames > 1 else None
        return Seen(describe(picture), views.cut(opened), note=note)
    except ValueError as error:
        reason = first_line(error)
    except Exception as error:
        # Decoders meet damaged files with any kind of error, from IndexError to struct.error.
        reason = f"{type(error).__name__}: {first_line(error)}"
    return Seen(describe(picture), None, reason)


class Pool:
    """Pictures in, in order; full batches of their squares to the model; means over each picture's squares out.

    Args:
        predict: figures of n squares, float [n, width].
        batch_size: squares that it is given at once.
        width: how many figures there are of each square.
    """

    def __init__(self, predict: Callable[[Sequence[np.ndarray]], np.ndarray], batch_size: int, width: int) -> None:
        self._predict, self._batch_size = predict, batch_size
        self._pictures: deque[tuple[int, Seen]] = deque()
        self._squares: deque[np.ndarray] = deque()
        self._values = np.empty((0, width))

    @property
    def ready(self) -> bool:
        """Whether a picture is complete that has not been taken."""
        return bool(self._pictures) and self._pictures[0][0] <= len(self._values)

    def add(self, seen: Seen) -> None:
        """The next picture; the model runs once a batch is full."""
        squares = () if seen.squares is None else seen.squares
        # Its squares are counted here and seen below: no need to hold them twice.
        self._pictures.append((len(squares), replace(seen, squares=None)))
        self._squares.extend(squares)
        while len(self._squares) >= self._batch_size:
            self._run(self._batch_size)

    def finish(self) -> None:
        """No picture follows: the model sees what is left."""
        if self._squares:
            self._run(len(self._squares))

    def take(self) -> tuple[np.ndarray, list[Seen]]:
        """Means of the complete pictures, float64 [n, width], NaN for a faulty one; and each without its squares."""
        means, taken, start = [], [], 0
        while self._pictures and start + self._pictures[0][0] <= len(self._values):
            count, seen = self._pictures.popleft()
            means.append(self._values[start : start + count].mean(0) if count else self._nothing)
            taken.append(seen)
            start += count
        self._values = self._values[start:]
        return np.array(means).reshape(len(means), -1), taken

    @property
    def _nothing(self) -> np.ndarray:
        return np.full(self._values.shape[1], np.nan)

    def _run(self, count: int) -> None:
        figures = self._predict([self._squares.popleft() for _ in range(count)])
        self._values = np.concatenate([self._values, figures])
