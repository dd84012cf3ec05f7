"""Does `iqa serve` answer many clients at once, without errors, without growing, and with the scores of `iqa.load`?

    python benchmarks/serving.py --model experiments/biq2021_lite0 [--quick]    # 15 minutes on two cores

A server of its own is started and asked over HTTP, a picture a request, by 1, 4, 16 and 64 clients at once that each
ask again as soon as they are answered: pictures of 512 pixels, of 12 megapixels, and of 512 pixels with one in twenty
broken. Told are the latency, the pictures answered in a second, the memory of all its processes, answers other than
200, requests without an answer, and how far scores are from those of `iqa.load`. At 16 clients, `score` takes turns
with the server on the same pictures, as files in a folder: the ratio says what serving costs.

Pictures are some of BIQ2021, or made up where it is not there; large ones are these, enlarged.
"""

from __future__ import annotations

from helpers.command import RESULTS, SHARED, parser_of

# isort: split

import argparse
import base64
import http.client
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from helpers.timing import machine, machine_line
from PIL import Image

import iqa
from iqa.commands.cli import run_command
from iqa.deploy.servable import make_servable
from iqa.deploy.server import Address, Server
from iqa.errors import UserError
from iqa.files import write_json

#: Different pictures of a kind; sides of small and of large ones; how many of the mixed ones are whole.
PICTURES, SMALL, LARGE, WHOLE = 40, (512, 512), (4000, 3000), 38
#: Seconds that a client waits for an answer.
PATIENCE = 600
#: The number of clients that `score` is compared at.
COMPARED = 16


@dataclass(frozen=True)
class Asked:
    """A picture, ready to be sent.

    Attributes:
        body: the request.
        score: what `iqa.load` says of it; None of a broken one.
    """

    content: bytes
    body: bytes
    score: float | None


@dataclass(frozen=True)
class Figures:
    """What some clients met; latencies in ms, memory in MB."""

    kind: str
    clients: int
    answered: int
    pictures_per_second: float
    p50: float
    p95: float
    p99: float
    statuses: dict[str, int]
    dropped: int
    wrong: int
    largest_difference: float
    memory_before: float
    memory_after: float
    of_score: float | None = None

    def line(self) -> str:
        other = {status: count for status, count in self.statuses.items() if status != "200"}
        ratio = "" if self.of_score is None else f"{self.of_score:.2f}"
        return (
            f"| {self.kind} | {self.clients} | {self.p50:.0f} | {self.p95:.0f} | {self.p99:.0f} | "
            f"{self.pictures_per_second:.2f} | {ratio} | {self.memory_before:.0f} | {self.memory_after:.0f} | "
            f"{other or 0} | {self.dropped} | {self.wrong} | {self.largest_difference:.1e} |"
        )


HEAD = (
    "| pictures | clients | p50 ms | p95 ms | p99 ms | pictures/s | of `score` | MB before | MB after | not 200 "
    "| dropped | wrong | largest difference |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


class Clients:
    """Threads that ask a server as fast as it answers, for some seconds."""

    def __init__(self, address: Address, pictures: Sequence[Asked]) -> None:
        self._address, self._pictures = address, cycle(pictures)
        self._lock = threading.Lock()
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.dropped, self.wrong, self.largest = 0, 0, 0.0

    def ask(self, count: int, seconds: float) -> float:
        """Returns the seconds until the last answer."""
        began = time.perf_counter()
        threads = [threading.Thread(target=self._ask, args=(began + seconds,)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def _ask(self, until: float) -> None:
        connection = http.client.HTTPConnection(self._address.reached_at, self._address.port, timeout=PATIENCE)
        while time.perf_counter() < until:
            with self._lock:
                asked = next(self._pictures)
            began = time.perf_counter()
            try:
                connection.request("POST", "/invocations", asked.body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                said, status = response.read(), response.status
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.dropped += 1
                continue
            with self._lock:
                self.latencies.append(time.perf_counter() - began)
                self.statuses[str(status)] += 1
                if status == 200:
                    self._check(asked, json.loads(said)["predictions"][0])
        connection.close()

    def _check(self, asked: Asked, row: dict[str, Any]) -> None:
        """A whole picture has its score, a broken one a reason."""
        if asked.score is None or row["score"] is None:
            self.wrong += (asked.score is None) != (row["score"] is None) or (row["score"] is None) != bool(
                row["error"]
            )
        else:
            self.largest = max(self.largest, abs(row["score"] - asked.score))


def measure(given: argparse.Namespace) -> list[Figures]:
    """All kinds of pictures at all numbers of clients."""
    model = iqa.load(given.model, "cpu")
    found = []
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        place = Path(folder)
        (place / "model").mkdir()
        servable = make_servable(str(given.model), place / "model")
        address = Address.free("127.0.0.1", 0)
        with Server(servable.folder, address, workers=given.workers, env_manager="local", folder=place) as server:
            server.wait_until_ready()
            kinds = kinds_of(given, model)
            Clients(address, kinds["512 px"]).ask(4, given.seconds / 4)  # all threads have been there once
            print(HEAD, flush=True)
            for (kind, pictures), count in ((pair, count) for pair in kinds.items() for count in given.clients):
                speed = partial(score_speed, model, pictures, place / kind, given.seconds / 2)
                found.append(figures(address, kind, pictures, count, given.seconds, speed))
                print(found[-1].line(), flush=True)
    return found


def figures(
    address: Address,
    kind: str,
    pictures: Sequence[Asked],
    count: int,
    seconds: float,
    score_speed: Callable[[], float],
) -> Figures:
    """What `count` clients meet; `score` has its turns right before and right after, where it is compared."""
    speeds = [score_speed()] if count == COMPARED else []
    clients, before = Clients(address, pictures), memory()
    took = clients.ask(count, seconds)
    after = memory()
    speeds += [score_speed()] if count == COMPARED else []
    rate = clients.statuses["200"] / took
    p50, p95, p99 = (float(each) for each in np.percentile(np.array(clients.latencies) * 1000, (50, 95, 99)))
    return Figures(
        kind,
        count,
        len(clients.latencies),
        rate,
        p50,
        p95,
        p99,
        dict(clients.statuses),
        clients.dropped,
        clients.wrong,
        clients.largest,
        before,
        after,
        rate / float(np.mean(speeds)) if speeds else None,
    )


def memory() -> float:
    """MB that the server's processes hold: all children of this one."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 1e6


def score_speed(model: Any, pictures: Sequence[Asked], folder: Path, seconds: float) -> float:
    """Pictures that `score` deals with in a second, from files and to the last row."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number}.jpg" for number in range(len(pictures))]
    for file, asked in zip(files, pictures, strict=True):
        file.write_bytes(asked.content)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += len(model.score(files, on_error="row"))
    return done / (time.perf_counter() - began)


def kinds_of(given: argparse.Namespace, model: Any) -> dict[str, list[Asked]]:
    """Pictures by kind, with the scores that they should have."""
    files = sorted((given.data / "biq2021" / "Images").glob("*"))[:PICTURES]
    small = [Image.open(file).convert("RGB").resize(SMALL) for file in files] or [made_up(n) for n in range(PICTURES)]
    whole = [jpeg(each) for each in small]
    large = [jpeg(each.resize(LARGE, Image.Resampling.BICUBIC)) for each in small[: PICTURES // 4]]
    broken = [whole[0][: len(whole[0]) // 2], b"no picture at all"]
    sent = {"512 px": whole, "12 MP": large, "512 px, 5 % broken": whole[:WHOLE] + broken}
    kinds = {}
    for kind, contents in sent.items():
        scores = model.score(contents, on_error="row")["score"]
        bodies = [{"dataframe_records": [{"image": base64.b64encode(content).decode()}]} for content in contents]
        kinds[kind] = [
            Asked(content, json.dumps(body).encode(), None if np.isnan(score) else float(score))
            for content, body, score in zip(contents, bodies, scores, strict=True)
        ]
    return kinds


def made_up(number: int) -> Image.Image:
    """Coarse colours under noise, the same for the same number."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(SMALL)
    noise = random.normal(0, 3 * (number % 9), (*SMALL[::-1], 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main(arguments: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds of each: shows that all runs, measures nothing")
    parser.add_argument("--model", default="experiments/biq2021_lite0", help="as iqa.load takes it")
    parser.add_argument("--seconds", type=float, default=60, help="of each number of clients (default: 60)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64], help="at once (default: 1 4 16 64)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server (default: 1)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with biq2021/")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.json", help="JSON file")
    given = parser.parse_args(arguments)
    if given.seconds <= 0 or min(given.clients) < 1:
        raise UserError("--seconds and --clients are counts", got=f"{given.seconds} and {given.clients}")
    if given.quick:
        given.seconds, given.clients = 2, [1, 4]
    # Not a line for each request.
    os.environ.setdefault("UVICORN_ACCESS_LOG", "false")
    cpu = torch.device("cpu")
    print(f"{machine_line(cpu)}\n", flush=True)
    rows = measure(given)
    write_json(given.out, {"machine": machine(cpu), "quick": given.quick, "rows": [asdict(row) for row in rows]})
    print(f"\nwritten: {given.out}")


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
