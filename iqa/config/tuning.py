"""The tuning section: what a study searches, how long, and how its findings are confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from iqa.config.section import Positive, Section, Share

Value = bool | int | float | str


class Range(Section):
    """All numbers from `low` to `high`."""

    low: int | float
    high: int | float
    #: Search orders of magnitude rather than sizes.
    log: bool = False

    @model_validator(mode="after")
    def _some_numbers(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"tuning.space: the range {self.low} to {self.high} is empty; expected low < high")
        if self.log and self.low <= 0:
            raise ValueError(f"tuning.space: a log range cannot begin at {self.low}; expected low > 0")
        return self


class Choices(Section):
    """One of the values listed."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1)]

    @field_validator("choices")
    @classmethod
    def _each_once(cls, choices: tuple[Value, ...]) -> tuple[Value, ...]:
        if len(set(map(repr, choices))) < len(choices):
            raise ValueError(f"tuning.space: {list(choices)} names a choice twice")
        return choices


def _kind(part: Any) -> str:
    """What is wrong with a part of the space shall be said of what it was meant to be."""
    return "choices" if isinstance(part, Choices) or (isinstance(part, dict) and "choices" in part) else "range"


Searched = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]

#: What every study searches unless the config narrows it or takes it out with null.
USUAL_SPACE: dict[str, Range | Choices] = {
    "training.learning_rate": Range(low=1e-4, high=1e-2, log=True),
    "model.n_clusters": Choices(choices=(0, 4, 8, 12, 16)),
}


class TuningConfig(Section):
    """A study: search, then confirmation on other splits and seeds."""

    #: Trials of the whole study, however many workers and restarts it takes.
    trials: Positive = 40
    #: Config key -> {"low", "high", "log"} or {"choices"}, added to the learning rate and cluster count of
    #: `USUAL_SPACE` or in their place; null: not searched.
    space: dict[str, Searched | None] = Field(default_factory=dict)
    #: Trials drawn at random before the sampler learns from them, and before any is pruned.
    startup_trials: Positive = 10
    #: Stop trials that fall behind the median of the others.
    prune: bool = True
    #: Share of the epochs that every trial is given before it can be pruned.
    pruning_warmup: Share = 0.3
    #: Splits and seeds on which findings are confirmed.
    confirmations: Annotated[int, Field(ge=3, le=100)] = 3
    #: Values of a searched range that are confirmed, evenly spread over it.
    range_values: Annotated[int, Field(ge=3, le=25)] = 7
    #: Of the sampler.
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("space", mode="before")
    @classmethod
    def _dotted(cls, space: Any) -> Any:
        """{"model": {"dropout": {...}}}, as the command line writes it, is {"model.dropout": {...}}."""
        return _flatten(space) if isinstance(space, dict) else space

    @model_validator(mode="after")
    def _something_to_search(self) -> TuningConfig:
        if not self.searched:
            raise ValueError("tuning.space: nothing is left to search; expected at least one key that is not null")
        return self

    @property
    def searched(self) -> dict[str, Range | Choices]:
        """Config key -> what is searched, the usual space included."""
        merged = {**USUAL_SPACE, **self.space}
        return {key: part for key, part in merged.items() if part is not None}


def _flatten(space: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, part in _parts(space):
        # A later word on a key, such as the command line's, changes what it names and no more.
        both = isinstance(part, dict) and isinstance(flat.get(key), dict)
        flat[key] = {**flat[key], **part} if both else part
    return flat


def _parts(space: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, part in space.items():
        if isinstance(part, dict) and not {"low", "high", "choices", "log"} & set(part):
            yield from _parts(part, f"{prefix}{key}.")
        else:
            yield prefix + key, part
