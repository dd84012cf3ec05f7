"""`--processes N`: the same command in N processes on this machine, by torchrun's own machinery."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence

from iqa.distributed.group import is_launched
from iqa.errors import IqaError, UserError
from iqa.processes import cores

#: Where the only machine finds itself, whatever its name resolves to.
HERE = "127.0.0.1"
#: Seconds for what is being saved when one process has failed or all are stopped; then they are killed.
GRACE = 20
#: A process that signal n stopped ends with this and n.
STOPPED = 128


def wanted_elsewhere(processes: int) -> bool:
    """Whether the command is to be run by several processes that are yet to be started.

    Raises:
        UserError: no number of processes, or torchrun has started another number.
    """
    if processes < 1:
        raise UserError("--processes counts processes", got=processes, expected="1 or more")
    if not is_launched():
        return processes > 1
    if processes not in (1, int(os.environ["WORLD_SIZE"])):
        raise UserError(
            f"--processes {processes} under torchrun",
            got=f"{os.environ['WORLD_SIZE']} processes, which torchrun has started",
            fix="leave --processes out",
        )
    return False


def run_in_processes(processes: int, verb: str, arguments: Sequence[str]) -> None:
    """Run `iqa VERB ...` in so many processes, which share the machine's cores, and wait for them.

    Raises:
        SystemExit: with the code of the process that failed, which has said why.
        IqaError: one was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # our processes speak for themselves
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{HERE}:0",
        local_addr=HERE,
        max_restarts=0,
        shutdown_timeout=GRACE,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "iqa", verb, *arguments)
    except ChildFailedError as error:
        leave({number: failure.exitcode for number, failure in error.failures.items()})
    except SignalException as stop:
        raise SystemExit(STOPPED + stop.sigval) from None


def leave(codes: Mapping[int, int]) -> None:
    """End as the process did that failed by itself: others end with 1, or are stopped for its sake."""
    own = [code for code in codes.values() if 0 < code < STOPPED]
    killed = {number: -code for number, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    if killed and max(own, default=1) == 1:
        number, by = killed.popitem()
        raise IqaError(
            f"process {number} was killed",
            got=signal.Signals(by).name,
            fix="where memory ran out, lower data.batch_size or --processes; what was saved can be resumed",
        )
    raise SystemExit(max(own, default=max(1, *codes.values())))
