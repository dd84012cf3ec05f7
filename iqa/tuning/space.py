"""From a config's tuning section to settings that can be tried: which keys, which values, and the config of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from iqa.config import ExperimentConfig
from iqa.config.data import WITHOUT_INFLUENCE
from iqa.config.reading import build_config
from iqa.config.tuning import Choices, Range
from iqa.errors import UserError, nearest

#: Values of settings by their dotted keys.
Values = dict[str, Any]
Space = dict[str, Range | Choices]

#: Data settings that leave the pictures and their splits as they are; under others, figures could not be compared.
_SAME_PICTURES = {"data.batch_size", "data.image_size"}
_SAME_EXPERIMENT = ("data.", "tracking.", "tuning.")
_SEEDS_AND_NAMES = {"experiment_name", "training.seed", "training.device"}


def read_space(config: ExperimentConfig) -> Space:
    """What `config` wants searched, checked against its own schema.

    Raises:
        UserError: a key that does not exist or cannot be searched, or a value that the schema refuses.
    """
    space, known = config.tuning.searched, config.flat()
    for key, part in space.items():
        if key not in known and not key.startswith("training.scheduler_params."):
            raise UserError(
                f"tuning.space: '{key}' is no setting",
                expected="a config key, such as training.weight_decay",
                fix=nearest(key, known),
            )
        if key in _SEEDS_AND_NAMES or (key.startswith(_SAME_EXPERIMENT) and key not in _SAME_PICTURES):
            raise UserError(
                f"tuning.space: '{key}' cannot be searched",
                expected="a setting of the model or the training: others change what is measured",
                fix="start a study for each value",
            )
        for value in part.choices if isinstance(part, Choices) else (part.low, part.high):
            apply(config, {key: value})
    return space


def is_whole(key: str, part: Range, config: ExperimentConfig) -> bool:
    """Whether a range is of whole numbers: its ends are, and so is the config's own value."""
    here = config.flat().get(key)
    return all(isinstance(end, int) for end in (part.low, part.high)) and not isinstance(here, float)


def apply(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """`config` with some settings changed.

    Raises:
        UserError: the schema refuses them.
    """
    nested = config.to_dict()
    for key, value in values.items():
        set_value(nested, key, value)
    return build_config(nested, where=", ".join(f"{key}={value}" for key, value in values.items()))


def set_value(nested: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` under its dotted key into nested sections, which are made where they lack."""
    *sections, last = key.split(".")
    for section in sections:
        nested = nested.setdefault(section, {})
    nested[last] = value


def own_values(config: ExperimentConfig, space: Space) -> Values:
    """The config's own values of what is searched; those that lie outside the space included."""
    flat = config.flat()
    return {key: flat[key] for key in space if key in flat}


def contains(part: Range | Choices, value: Any) -> bool:
    if isinstance(part, Choices):
        return value in part.choices
    return isinstance(value, int | float) and part.low <= value <= part.high


def spread(part: Range | Choices, count: int, *, whole: bool = False) -> list[Any]:
    """The values of `part` that stand for all of it: every choice in order, or `count` evenly over a range."""
    if isinstance(part, Choices):
        numbers = all(isinstance(value, int | float) for value in part.choices)
        return sorted(part.choices) if numbers else list(part.choices)
    space = np.geomspace if part.log else np.linspace
    values = space(part.low, part.high, count)
    if whole:
        return sorted({round(float(value)) for value in values})
    return [float(f"{value:.3g}") for value in values]


def describe(space: Space) -> dict[str, Any]:
    """As plain values, to be kept with the study and compared with later."""
    return {key: part.model_dump(mode="json") for key, part in sorted(space.items())}


def settings_apart_from(config: ExperimentConfig, space: Space) -> dict[str, Any]:
    """Every setting that a study's figures depend on and that it does not search: what must stay as it was."""
    free = {"experiment_name", "training.device", "data.root", "tuning.trials", *WITHOUT_INFLUENCE}
    free |= {f"tuning.{name}" for name in ("confirmations", "range_values", "prune", "pruning_warmup")}
    return {
        key: value
        for key, value in config.flat().items()
        if key not in free and not key.startswith(("tracking.", "tuning.space"))
    }
