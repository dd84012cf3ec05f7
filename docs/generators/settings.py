"""Every setting from the classes that define it: its dotted name, type, default and the comment above it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from generators.words import as_it_stands
from iqa.config import ExperimentConfig

#: Types in a reader's words.
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}
SIGNS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}


@dataclass(frozen=True)
class Setting:
    """A setting as a reader meets it."""

    key: str
    kind: str
    default: str
    meaning: str


def settings() -> str:
    """A heading for each section of a config, what it is for, and a list of its settings."""
    parts = []
    for prefix, section in sections():
        name = prefix.rstrip(".") or "An experiment"
        purpose = (inspect.getdoc(section) or "").strip()
        parts += [f"## {name}", purpose, listed(list(of_section(section, prefix)))]
    return "\n\n".join(parts)


def sections(section: type[BaseModel] = ExperimentConfig, prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its prefix, such as ("model.mixture.", MixtureConfig), the whole first."""
    yield prefix, section
    for name, field in section.model_fields.items():
        if is_section(field):
            yield from sections(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


def is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def of_section(section: type[BaseModel], prefix: str) -> Iterator[Setting]:
    """The settings of a section, without those of the sections in it."""
    meanings = comments(section)
    for name, field in section.model_fields.items():
        if not is_section(field):
            kind = described(field.annotation, field.metadata)
            yield Setting(prefix + name, kind, default_of(field), meanings.get(name, ""))


def all_settings() -> dict[str, Setting]:
    """Every setting by its dotted name."""
    return {each.key: each for prefix, section in sections() for each in of_section(section, prefix)}


def comments(section: type[BaseModel]) -> dict[str, str]:
    """The `#:` comment above each field."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for line in inspect.getsource(section).splitlines():
        stripped = line.strip()
        if stripped.startswith("#:"):
            waiting.append(stripped.removeprefix("#:").strip())
        elif field := re.match(r"    (\w+): ", line):
            found[field[1]] = " ".join(waiting)
            waiting = []
        else:
            waiting = []
    return found


def default_of(field: FieldInfo) -> str:
    """The default as a config file has it."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, float) and not isinstance(value, bool):
        value = float(f"{value:.6g}")
    return f"default `{json.dumps(value)}`"


def described(kind: Any, limits: Any = ()) -> str:
    """A type in a reader's words, with its limits."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return described(parts[0], parts[1:])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(described(part, limits if part in (int, float) else ()) for part in parts))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in chosen(kind))
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return f"list of: {described(parts[0])}"
        return "[" + ", ".join(described(part) for part in parts) + "]"
    if origin is dict:
        return "settings by name"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind))) + limited(limits)


def chosen(kind: Any) -> Iterator[Any]:
    """The values of a Literal, those of Literals in it too."""
    for value in get_args(kind):
        if get_origin(value) is Literal:
            yield from chosen(value)
        else:
            yield value


def limited(limits: Any) -> str:
    """Limits in words: " (1 to 64)", " (above 0)"."""
    said: dict[str, str] = {}
    for limit in flat(limits):
        for each, (name, word) in SIGNS.items():
            if isinstance(limit, each):
                said[word] = f"{getattr(limit, name):g}"
        if pattern := getattr(limit, "pattern", None):
            said["as"] = f"`{pattern}`"
    if {"at least", "at most"} <= said.keys():
        said = {f"{said.pop('at least')} to": said.pop("at most"), **said}
    return f" ({', '.join(f'{word} {value}' for word, value in said.items())})" if said else ""


def flat(limits: Any) -> Iterator[Any]:
    """Each limit by itself; pydantic keeps several together in a Field."""
    for limit in limits:
        if isinstance(limit, FieldInfo):
            yield from limit.metadata
        else:
            yield limit


def listed(rows: list[Setting]) -> str:
    """A list of definitions: the name, then type and default, then what it does."""
    return "\n\n".join(f"**`{row.key}`**\n: {row.kind}; {row.default}\n: {as_it_stands(row.meaning)}" for row in rows)
