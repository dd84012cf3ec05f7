"""Configs as the guide's own script writes them: keys that go by another name here, or that have no effect."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

#: The guide's key -> our setting, and how its value reads there.
_RENAMED: dict[str, tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    # The script falls back to the CPU where there is no GPU.
    "device": (("training.device", lambda value: "auto" if value in ("cuda", "gpu") else value),),
    "seed": (("training.seed", lambda value: value), ("data.seed", lambda value: value)),
    "loss_weights.quality_loss": (
        ("training.loss.smooth_l1", lambda value: value),
        ("training.loss.correlation", lambda value: _half(value)),
    ),
    "loss_weights.cluster_loss": (("training.loss.cluster_loss", lambda value: value),),
}
#: The guide's key -> what to know of it here.
_WITHOUT_EFFECT = {
    "logging.save_dir": "--output says where experiments are written",
    "logging.save_best": "the best model is always kept",
    "logging.save_last": "the state to resume from is always kept",
    "logging.log_interval": "every epoch is logged, no step is",
    "visualization": "every picture is drawn by iqa evaluate",
}
_SECTIONS = ("loss_weights", "logging", "visualization")
_TOP = {key.partition(".")[0] for key in (*_RENAMED, *_WITHOUT_EFFECT)}


def from_guide(values: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A config's values with the guide's further keys in their places, and a note on what became of them.

    A setting of ours that the config names itself is left as it is. Keys that are neither the guide's nor ours stay
    where they are, to be refused by name.

    Returns:
        the values, and the note, "" where nothing had to be changed.
    """
    # A section without a value says nothing.
    changed = {key: value for key, value in copy.deepcopy(values).items() if value is not None or key not in _TOP}
    found = [key for key in (*_RENAMED, *_WITHOUT_EFFECT) if _get(changed, key) is not None]
    if not found:
        return changed, ""
    lines = []
    for key in found:
        value = _pop(changed, key)
        if key in _WITHOUT_EFFECT:
            lines.append(f"  {key}: without effect; {_WITHOUT_EFFECT[key]}")
            continue
        for setting, convert in _RENAMED[key]:
            if _get(changed, setting) is None and _is_number_or_text(value):
                _put(changed, setting, convert(value))
                lines.append(f"  {key}: {setting} = {json.dumps(convert(value))}")
    for section in _SECTIONS:
        if changed.get(section) == {}:
            del changed[section]
    text = json.dumps(changed, indent=2, ensure_ascii=False)
    note = "these keys are the guide's, and are read as follows:\n" + "\n".join(lines)
    return changed, f"{note}\nthe same config without them:\n{text}"


def _half(value: Any) -> Any:
    """Half a number; what is none stays, to be refused by its key."""
    try:
        return value / 2
    except (TypeError, OverflowError):
        return value


def _is_number_or_text(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _get(values: dict[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _pop(values: dict[str, Any], key: str) -> Any:
    *sections, last = key.split(".")
    for section in sections:
        values = values[section]
    return values.pop(last)


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value
