"""`iqa`: one command with a verb for everything that the project does."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable

import iqa
from iqa.commands.cli import run_command
from iqa.distributed.group import is_launched
from iqa.errors import UserError, nearest

#: Verb -> what it does, in a line; each is a module, loaded when it is asked for.
VERBS = {
    "configs": "write the standard experiments as JSON files",
    "audit": "look for what would spoil a training in pictures and scores",
    "train": "train one experiment",
    "evaluate": "judge a trained experiment on its test pictures",
    "compare": "train and test several configs, and say which is really better",
    "tune": "search settings, and say what to set and how sure that is",
    "ensemble": "judge several experiments as one",
    "export": "write a model as a file that scores without torch",
    "promote": "make a tested model the one that others rely on",
    "score": "score pictures with a trained model",
    "serve": "serve a trained model over HTTP",
    "sync": "send to MLflow what it has missed",
    "doctor": "check the machine and every prepared file",
}
#: Those of them that stand in a room of their own.
DEPLOYED = ("export", "promote", "serve")
#: Those that several processes do together.
DIVIDED = ("train", "score")


def main(arguments: list[str] | None = None) -> None:
    """Run `iqa VERB ...` and leave the process; see `iqa.commands.cli.run_command` for how."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in VERBS and given[0] not in DIVIDED and is_launched():
        run_command(refuse_processes, given)
    elif given and given[0] in VERBS:
        room = "iqa.commands.deployed" if given[0] in DEPLOYED else "iqa.commands"
        verb: Callable[[list[str]], object] = importlib.import_module(f"{room}.{given[0]}").main
        run_command(verb, given[1:])
        return
    verbs = "\n".join(f"  {verb:<10} {purpose}" for verb, purpose in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="iqa",
        description="Train, compare and tune models that say how good a picture looks, with no reference picture.",
        usage="iqa VERB [options]",
        epilog=f"verbs:\n{verbs}\n\niqa VERB --help lists the options of a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"iqa {iqa.__version__}")
    if not given:
        parser.print_help()
    elif given[0].startswith("-"):
        parser.parse_args(given)
    else:
        run_command(unknown, given)


def refuse_processes(given: list[str]) -> None:
    """Refuse what several processes would do several times.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"iqa {given[0]} is not for several processes",
        expected=f"torchrun with iqa {' or iqa '.join(DIVIDED)}",
        fix=f"iqa {given[0]} without torchrun",
    )


def unknown(given: list[str]) -> None:
    """Refuse what is no verb.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"iqa does not know the verb '{given[0]}'",
        expected=", ".join(VERBS),
        fix=nearest(given[0], VERBS) or "iqa --help",
    )


if __name__ == "__main__":
    main()
