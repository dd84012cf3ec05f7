"""Processes that have joined, as torchrun would start them, and do one function after the other."""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.multiprocessing as mp
from servers import free_port

from iqa.distributed.group import joined


class Team:
    """So many processes, each with a queue of work."""

    def __init__(self, processes: int) -> None:
        context = mp.get_context("spawn")
        self.answers = context.Queue()
        self.asked = [context.Queue() for _ in range(processes)]
        place = processes, free_port()
        self.members = [
            context.Process(target=_serve, args=(rank, *place, asked, self.answers), daemon=True)
            for rank, asked in enumerate(self.asked)
        ]
        for member in self.members:
            member.start()

    def do(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `work(*arguments)` returns in each process; both can be pickled."""
        for asked in self.asked:
            asked.put((work, arguments))
        told = dict(self.answers.get(timeout=120) for _ in self.members)
        for answer in told.values():
            if isinstance(answer, str):
                raise AssertionError(answer)
        return [torch.load(io.BytesIO(told[rank]), weights_only=False) for rank in sorted(told)]


@contextmanager
def team_of(processes: int) -> Iterator[Team]:
    team = Team(processes)
    try:
        yield team
    finally:
        for asked in team.asked:
            asked.put(None)
        for member in team.members:
            member.join(timeout=20)
            member.kill()


def _serve(rank: int, processes: int, port: int, asked: Any, answers: Any) -> None:
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    torch.set_num_threads(1)
    with joined():
        while (task := asked.get()) is not None:
            work, arguments = task
            try:
                content = io.BytesIO()
                torch.save(work(*arguments), content, pickle_protocol=pickle.HIGHEST_PROTOCOL)
                answers.put((rank, content.getvalue()))
            except Exception as error:  # told where the test is
                answers.put((rank, f"{type(error).__name__}: {error}"))
