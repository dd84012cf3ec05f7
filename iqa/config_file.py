"""Reading a config: a JSON file with comments, overrides from the command line, faults named by their key."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from iqa.config import SCHEDULER_PARAMS, ExperimentConfig
from iqa.errors import UserError, nearest


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a config file and apply `--section.key value` overrides.

    Raises:
        UserError: missing or broken file, unknown key, wrong type or range; the message names the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        beside = [p.name for p in path.parent.glob("*.json")] if path.parent.is_dir() else []
        raise UserError(
            f"config {path} does not exist",
            expected="a JSON file, such as configs/quick_test.json",
            fix=nearest(path.name, beside) or "python pipelines/config_experiments.py writes the standard ones",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config {path} cannot be read", got=error, expected="a UTF-8 JSON file") from error
    try:
        values = json.loads(strip_comments(text))
    except ValueError as error:
        raise UserError(f"config {path} is not valid JSON", got=error, fix="mend the file at that line") from error
    if not isinstance(values, dict):
        raise UserError(f"config {path} holds no settings", got=type(values).__name__, expected="a JSON object")
    return _with_overrides(values, overrides, where=str(path))


def override_config(config: ExperimentConfig, overrides: Sequence[str]) -> ExperimentConfig:
    """A config read before, with `--section.key value` overrides applied.

    Raises:
        UserError: an override that the schema refuses.
    """
    return _with_overrides(config.to_dict(), overrides, where="the command line")


def build_config(values: dict[str, Any], where: str = "config") -> ExperimentConfig:
    """Check nested plain values against the schema.

    Raises:
        UserError: every fault of the config, each with its key.
    """
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where} has settings that cannot be used:\n" + _faults(error)) from error


def parse_overrides(arguments: Sequence[str]) -> list[tuple[str, Any]]:
    """Turn `--a.b 1 --c=x` into [("a.b", 1), ("c", "x")]; values are JSON where they parse, else text."""
    pairs: list[tuple[str, Any]] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--") or len(argument) < 3:
            raise UserError("an argument has no place", got=argument, expected="--section.key value")
        key, separator, text = argument[2:].partition("=")
        if not separator:
            if not rest:
                raise UserError(f"--{key} has no value", expected=f"--{key} VALUE")
            text = rest.pop(0)
        pairs.append((key, _value(text)))
    return pairs


def strip_comments(text: str) -> str:
    """Blank out `//` and `/* */` comments and trailing commas, outside strings; line numbers stay true."""

    def blank(match: re.Match[str]) -> str:
        token = match.group(0)
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    text = re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', blank, text, flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\\n])*"|,(?=\s*[}\]])', blank, text)


def _with_overrides(values: dict[str, Any], overrides: Sequence[str], where: str) -> ExperimentConfig:
    pairs = dict(parse_overrides(overrides))
    if "training.scheduler" in pairs and isinstance(values.get("training"), dict):
        # Settings of the schedule that the file named mean nothing to the one chosen instead.
        known = SCHEDULER_PARAMS.get(str(pairs["training.scheduler"]), set())
        params = values["training"].get("scheduler_params", {})
        values["training"]["scheduler_params"] = {key: params[key] for key in params if key in known}
    if pairs.get("data.dataset") == "photos" and isinstance(values.get("data"), dict):
        # The folder that the file named is another set's: photographs that come with packages have none.
        values["data"].pop("root", None)
    for key, value in pairs.items():
        _set(values, key, value)
    return build_config(values, where=where)


def _value(text: str) -> Any:
    lowered = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in lowered:
        return lowered[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"--{dotted} cannot be set", got=f"'{section}' holds a value, no section")
    # "scheduler": "none" is a word, not the absence of one.
    values[key] = "none" if value is None and key == "scheduler" else value


def _known_keys(section: type[BaseModel] = ExperimentConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _faults(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"  {key}: unknown key; {_advice(key) or 'README.md lists every key'}")
        elif fault["type"] == "missing":
            lines.append(f"  {key}: missing")
        elif fault["type"] == "value_error":
            lines.append(f"  {fault['msg'].removeprefix('Value error, ')}")
        else:
            message = fault["msg"][:1].lower() + fault["msg"][1:]
            lines.append(f"  {key}: got {fault['input']!r}; {message}")
    return "\n".join(dict.fromkeys(lines))


def _advice(key: str) -> str | None:
    """The valid key that `key` was meant for: right name in another section, initials, or close spelling."""
    section, _, leaf = key.rpartition(".")
    known = _known_keys()
    siblings = [name for name in known if name.rpartition(".")[0] == section]
    for name in (*siblings, *known):
        last = name.rpartition(".")[2]
        if leaf in (last, "".join(word[0] for word in last.split("_") if "_" in last)):
            return f"did you mean '{name}'?"
    return nearest(key, siblings) or nearest(key, known)
