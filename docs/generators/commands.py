"""Every command from its own parser: what it is for, how it is called, and its options."""

from __future__ import annotations

import argparse
import importlib
import inspect
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from unittest.mock import patch

from generators.words import as_it_stands
from iqa.commands.main import DEPLOYED, VERBS

#: The fewest arguments that the parser of a verb takes, where it takes some.
NEEDED = {"ensemble": ["--experiments", "A", "B"], "promote": ["MODEL", "--to", "NAME"]}


class Parsed(Exception):
    """A command has read its arguments, and goes no further."""

    def __init__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, rest: list[str]) -> None:
        super().__init__("parsed")
        self.parser, self.options, self.rest = parser, options, rest


def commands() -> str:
    """A heading for each verb, what it does, its usage and a table of its options."""
    parts = []
    for verb, purpose in VERBS.items():
        parser = parse(verb, NEEDED.get(verb, [])).parser
        parts += [f"## iqa {verb}", f"{purpose[:1].upper()}{purpose[1:]}.", *about(module_of(verb)), usage(parser)]
        parts += [table(parser), as_it_stands(parser.epilog or "")]
    return "\n\n".join(parts)


def module_of(verb: str) -> str:
    return f"iqa.commands.{'deployed.' if verb in DEPLOYED else ''}{verb}"


def parse(verb: str, arguments: Sequence[str]) -> Parsed:
    """What the verb's own parser makes of arguments; nothing is done with them.

    Raises:
        SystemExit: it refuses them.
    """
    try:
        with stopped_after_parsing():
            importlib.import_module(module_of(verb)).main(list(arguments))
    except Parsed as parsed:
        return parsed
    raise AssertionError(f"iqa {verb} has no parser")


def stopped_after_parsing() -> AbstractContextManager[object]:
    """Within it a parser parses, and then raises `Parsed`."""
    real = argparse.ArgumentParser.parse_known_args

    def known(self: argparse.ArgumentParser, args: Sequence[str] | None = None, namespace: None = None) -> object:
        options, rest = real(self, args, namespace)
        raise Parsed(self, options, rest)

    def exactly(self: argparse.ArgumentParser, args: Sequence[str] | None = None, namespace: None = None) -> object:
        options, rest = real(self, args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        raise Parsed(self, options, rest)

    return patch.multiple(argparse.ArgumentParser, parse_known_args=known, parse_args=exactly)


def about(module: str) -> list[str]:
    """The paragraphs of a command's docstring below its first line."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return [as_it_stands(paragraph.replace("\n", " ")) for paragraph in text.split("\n\n")[1:]]


def usage(parser: argparse.ArgumentParser) -> str:
    text = textwrap.fill(" ".join(parser.format_usage().split()[1:]), 88, subsequent_indent=" " * 4)
    return f"```text\n{text}\n```"


def table(parser: argparse.ArgumentParser) -> str:
    lines = ["| option | what it does |", "|---|---|"]
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or action.dest == "help":
            continue
        names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
        told = parser._get_formatter()._expand_help(action)
        choices = f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}" if action.choices else ""
        lines.append(f"| {names} | {as_it_stands(told)}{choices} |")
    return "\n".join(lines)
