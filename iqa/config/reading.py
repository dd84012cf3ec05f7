"""Reading a config: a JSON file with comments, overrides from the command line, faults named by their key."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from iqa.config.experiment import ExperimentConfig, flatten
from iqa.config.guide import from_guide
from iqa.config.recipes import recipe_texts
from iqa.config.training import SCHEDULER_PARAMS
from iqa.errors import UserError, nearest

#: Characters of a config, and how deep it may be: settings are four deep.
MOST_TEXT, MOST_NESTED = 2**22, 50

log = logging.getLogger(__name__)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a config file, or a standard experiment by its name, and apply `--section.key value` overrides.

    Raises:
        UserError: missing or broken file, unknown key, wrong type or range; the message names the key.
    """
    return _with_settings(_told(_read_values(Path(path))), dict(parse_overrides(overrides)), where=str(path))


def read_config(
    config: str | Path | Mapping[str, Any] | ExperimentConfig, settings: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """A config out of a file, the name of a standard experiment, nested values or a config, some settings changed.

    Args:
        settings: by their dotted names: {"training.epochs": 20}.

    Raises:
        UserError: as `load_config`.
    """
    if isinstance(config, ExperimentConfig):
        return with_settings(config, settings)
    if isinstance(config, Mapping):
        return _with_settings(_told(copy.deepcopy(dict(config))), dict(settings or {}), where="config")
    return _with_settings(_told(_read_values(Path(config))), dict(settings or {}), where=str(config))


def with_settings(config: ExperimentConfig, settings: Mapping[str, Any] | None) -> ExperimentConfig:
    """A config with some settings, by their dotted names, changed.

    Raises:
        UserError: a setting that the schema refuses.
    """
    return _with_settings(config.to_dict(), dict(settings), where="settings") if settings else config


def override_config(config: ExperimentConfig, overrides: Sequence[str]) -> ExperimentConfig:
    """A config read before, with `--section.key value` overrides applied.

    Raises:
        UserError: an override that the schema refuses.
    """
    return _with_settings(config.to_dict(), dict(parse_overrides(overrides)), where="the command line")


def describe_config(path: str | Path, overrides: Sequence[str] = ()) -> str:
    """Every setting in a line: its dotted name, its value as JSON, and where that comes from.

    Raises:
        UserError: as `load_config`.
    """
    config = load_config(path, overrides)
    values, _ = from_guide(_read_values(Path(path)))
    written, given = dict(flatten(values)), [key for key, _ in parse_overrides(overrides)]
    rows = []
    for key, value in config.flat().items():
        from_command = any(key == name or key.startswith(f"{name}.") for name in given)
        source = "command line" if from_command else str(path) if key in written else "default"
        rows.append((key, json.dumps(value, ensure_ascii=False), source))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{key:<{widths[0]}}  {value:<{min(widths[1], 48)}}  {source}" for key, value, source in rows)


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
    """Turn `--a.b 1 --c=x` into [("a.b", 1), ("c", "x")].

    A value is JSON where it parses, else text. Where the setting is text, all but null and what is in quotes is taken
    as it stands (2024, none).
    """
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
        pairs.append((key, _text_value(text) if _is_text(key) else _value(text)))
    return pairs


def strip_comments(text: str) -> str:
    """Blank out `//` and `/* */` comments and trailing commas, outside strings; line numbers stay true."""

    def blank(match: re.Match[str]) -> str:
        token = match.group(0)
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    text = re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', blank, text, flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\\n])*"|,(?=\s*[}\]])', blank, text)


def _read_values(path: Path) -> dict[str, Any]:
    """What a config file holds, before it is checked."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_TEXT + 1)
    except FileNotFoundError as error:
        if (recipe := recipe_texts().get(str(path))) is not None:
            text = recipe
        else:
            beside = [p.name for p in path.parent.glob("*.json")] if path.parent.is_dir() else []
            raise UserError(
                f"config {path} does not exist",
                expected="a JSON file, such as configs/quick_test.json, or a standard experiment, such as quick_test",
                fix=nearest(path.name, beside) or "iqa configs writes the standard ones",
            ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config {path} cannot be read", got=error, expected="a UTF-8 JSON file") from error
    if len(text) > MOST_TEXT:
        raise UserError(f"config {path} is too long", expected=f"at most {MOST_TEXT} characters of JSON")
    try:
        values = _parsed(strip_comments(text))
    except (ValueError, RecursionError) as error:
        raise UserError(f"config {path} is not valid JSON", got=error, fix="mend the file at that line") from error
    if not isinstance(values, dict):
        raise UserError(f"config {path} holds no settings", got=type(values).__name__, expected="a JSON object")
    return values


def _parsed(text: str) -> Any:
    """What JSON holds.

    Raises:
        ValueError, RecursionError: it is none, or lists and objects are within each other deeper than any setting is.
    """
    values = json.loads(text)
    layer, depth = [values], 0
    while layer := [each for part in layer for each in _within(part) if isinstance(each, dict | list)]:
        depth += 1
        if depth > MOST_NESTED:
            raise ValueError(f"lists and objects within each other, more than {MOST_NESTED} deep")
    return values


def _within(part: Any) -> Iterable[Any]:
    return part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """The guide's further keys in their places, and a word to the user if there were any."""
    values, note = from_guide(values)
    if note:
        log.warning("%s", note)
    return values


def _with_settings(values: dict[str, Any], pairs: dict[str, Any], where: str) -> ExperimentConfig:
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
        return _parsed(text)
    except (ValueError, RecursionError):
        return text


def _text_value(text: str) -> str | None:
    if text == "null":
        return None
    return str(_value(text)) if text.startswith('"') else text


def _is_text(key: str) -> bool:
    """Whether the schema takes text and nothing else under this dotted name."""
    kind: Any = ExperimentConfig
    for part in key.split("."):
        fields = getattr(kind, "model_fields", {})
        if part not in fields:
            return False
        kind = fields[part].annotation
    return all(each is str or each is NoneType or isinstance(each, str) for each in _alternatives(kind))


def _alternatives(kind: Any) -> list[Any]:
    """The types of a union and the values of a Literal, one by one."""
    if get_origin(kind) is None:
        return [kind]
    return [each for part in get_args(kind) for each in _alternatives(part)]


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"--{dotted} cannot be set", got=f"'{section}' holds a value, no section")
    values[key] = value


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
