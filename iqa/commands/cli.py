"""What every command shares: its parser, and its endings, one message and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from types import FrameType

from iqa.distributed.group import EndedElsewhere, is_first
from iqa.errors import Interrupted, IqaError, UserError
from iqa.processes import GIVEN_BACK_FROM, MAPPED_FROM, set_spinning

#: What glibc's mallopt is told.
_MALLOPT = {"M_MMAP_THRESHOLD": (-3, MAPPED_FROM), "M_TRIM_THRESHOLD": (-1, GIVEN_BACK_FROM)}

#: Seconds that a process waits to be ended after another one was.
ELSEWHERE_SECONDS = 10.0

#: Said beside calibrated scores that no mapping was found for, with the reason.
NO_INTERVALS = "scores come without intervals: {}"
NOT_CALIBRATED = "calibrated scores are the model's own, stretched to the scale: {}"


def run_command(main: Callable[[list[str]], object], arguments: list[str]) -> None:
    """Run `main(arguments)` and leave the process: 0 done, 1 failed while running, 2 bad input, 128 + n by signal n.

    SIGTERM (143) and a closed terminal (129) are taken like Ctrl-C (130). A fault of ours, as opposed to the user's, is
    one line too; its traceback is shown when the environment variable IQA_TRACEBACK is set. Of several processes each
    tells its own faults, and the first one what all of them met.
    """
    set_spinning()
    _keep_freed_memory()
    stopped_by = _take_signals()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Of metadata that Pillow cannot read; the pixels are decoded all the same.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        main(arguments)
        sys.stdout.flush()
    except EndedElsewhere as end:
        # Who started us ends us once it sees the other's code, which is the one that counts.
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(ELSEWHERE_SECONDS)
        _leave("", end.exit_code)
    except Interrupted as stop:
        _leave(str(stop) if is_first() else "", _code(stopped_by))
    except IqaError as error:
        _leave(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted" if is_first() else "", _code(stopped_by))
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("IQA_TRACEBACK"):
            raise
        message = IqaError(f"{type(error).__name__}: {error}", fix="set IQA_TRACEBACK=1 to see where this came from")
        _leave(f"error: {message}", 1)


def parser_for(verb: str, purpose: str | None, epilog: str) -> argparse.ArgumentParser:
    """A parser of `iqa VERB`: options are given in full, and settings of the config beside them."""
    return argparse.ArgumentParser(
        prog=f"iqa {verb}", description=(purpose or "").partition("\n")[0], epilog=epilog, allow_abbrev=False
    )


def add_model(parser: argparse.ArgumentParser, help_text: str) -> None:
    """A model as the first word or as an option, as `mlflow run` must give it; `named_model` takes either."""
    parser.add_argument("named", nargs="?", metavar="MODEL", help=help_text)
    parser.add_argument("--model", default="", help="the same, as an option")


def named_model(options: argparse.Namespace, example: str) -> str:
    """The model that was named.

    Args:
        example: a command that names one.

    Raises:
        UserError: none is, or two are.
    """
    if bool(options.named) == bool(options.model):
        raise UserError("no model is named, or two", fix=example)
    return str(options.named or options.model)


def add_flag(parser: argparse.ArgumentParser, name: str, help_text: str) -> None:
    """A switch that stands alone (`--resume`) or takes a word, as `mlflow run` must give it (`--resume false`)."""
    parser.add_argument(name, nargs="?", const=True, default=False, type=_truth, metavar="true|false", help=help_text)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """How many processes share the work."""
    parser.add_argument(
        "--processes", type=int, default=1, help="divide the work among so many processes of this machine (default: 1)"
    )


def listed(words: Sequence[str]) -> list[str]:
    """The files of an option that takes several: `mlflow run` hands on a list as one word, with spaces or commas."""
    return [name for word in words for name in ([word] if os.path.exists(word) else word.replace(",", " ").split())]


def show_link(link: str | None) -> None:
    """Where to look at the runs, as the last line of a command that logged one."""
    if link:
        print(f"browse every run (start `make ui` or `mlflow ui` where no server runs):\n  {link}")


def _truth(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected true or false")
    return words[text.lower()]


def _keep_freed_memory() -> None:
    """Let freed memory be used again in place of returning it to the system.

    Feature maps are made and freed at every layer, and memory that comes fresh from the system is filled with zeros
    page by page: a tenth of a training's time on a CPU, a third on a busy one. Elsewhere than on glibc nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            for option, value in _MALLOPT.values():
                libc.mallopt(option, value)


def _take_signals() -> list[int]:
    """Turn the signals that end a command into KeyboardInterrupt; returns the list in which they are noted."""
    stopped_by: list[int] = []
    names = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        names.append(signal.SIGHUP)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # `mlflow run` sends SIGTERM right after Ctrl-C: once is enough, what is being saved must not be cut short.
        for name in names[1:]:
            signal.signal(name, signal.SIG_IGN)
        _leave_closed_terminal()
        stopped_by.append(signum)
        raise KeyboardInterrupt

    for name in names:
        signal.signal(name, interrupt)
    return stopped_by


def _leave_closed_terminal() -> None:
    """Send to nowhere what a terminal that was closed would refuse: no word of ours may stop the saving."""
    for stream in (1, 2):
        try:
            os.get_terminal_size(stream)
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _code(stopped_by: list[int]) -> int:
    """The exit code of an interrupted command, as shells expect it."""
    return 128 + stopped_by[0] if stopped_by else Interrupted.exit_code


def _leave(message: str, exit_code: int) -> None:
    sys.stdout.flush()
    if message:
        print(message, file=sys.stderr, flush=True)
    sys.exit(exit_code)
