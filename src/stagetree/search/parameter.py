"""A parameter: one varied key of the configuration, for Optuna and for Hydra."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
    distribution_to_json,
)

from stagetree.search.condition import Condition, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DROPPED_PREFIX = "stages."


@dataclass(frozen=True)
class Choice:
    """One value of a discrete parameter.

    Attributes:
        value: The value as Optuna keeps it and people see it.
        text: The text after ``=`` that makes Hydra set exactly this value.
    """

    value: Any
    text: str


@dataclass(frozen=True)
class Parameter:
    """One varied key of the configuration.

    Attributes:
        name: Displayed name, also its name in the Optuna study.
        key: Key of the override, with prefix (``+x``) and package (``db@pkg``) if any.
        distribution: What Optuna samples from.
        choices: All values, in the order of the command line; empty for an interval.
        condition: When it exists; ``None``: always.
    """

    name: str
    key: str
    distribution: BaseDistribution
    choices: tuple[Choice, ...] = ()
    condition: Condition | None = None

    def exists(self, params: Mapping[str, Any]) -> bool:
        """Return whether it exists at a point."""
        return self.condition is None or self.condition.holds(params)

    def position(self, value: Any) -> int:
        """Return which of the choices ``value`` is.

        Raises:
            ValueError: It is none of them.
        """
        if isinstance(self.distribution, CategoricalDistribution):
            for index, choice in enumerate(self.choices):
                if same(choice.value, value):
                    return index
            raise ValueError(f"expected a choice of {self.name} but got {value!r}")
        gaps = [abs(choice.value - value) for choice in self.choices]
        return gaps.index(min(gaps))

    def admit(self, value: Any) -> Any:
        """Return a configuration's ``value`` as a study keeps it.

        Raises:
            ValueError: It is not in the distribution.
        """
        texts = [Override._get_value_element_as_str(value)] if isinstance(value, list) else []
        for choice in self.choices:
            if same(choice.value, value) or _equal_numbers(choice.value, value):
                return choice.value
            if choice.text in texts:
                return choice.value
        if not self.choices and _is_number(value):
            whole = isinstance(self.distribution, IntDistribution) and value == int(value)
            number = int(value) if whole else float(value)
            if self.distribution._contains(number):
                return number
        wanted = readable(distribution_to_json(self.distribution))
        raise ValueError(f"expected one of {wanted} but got {value!r}")

    def override(self, value: Any) -> str:
        """Return the Hydra override that sets ``value``."""
        if self.choices:
            return f"{self.key}={self.choices[self.position(value)].text}"
        return f"{self.key}={value!r}"


def readable(distribution: str) -> str:
    """Return the text of :meth:`Space.describe` as a person would write it.

    >>> from optuna.distributions import CategoricalDistribution, distribution_to_json
    >>> readable(distribution_to_json(CategoricalDistribution([1, 2])))
    'choice(1, 2)'
    """
    content = json.loads(distribution)
    text = _values(content["name"], content["attributes"])
    if "zip" in content:
        names = content["zip"]["names"]
        rows = ", ".join(f"({', '.join(map(str, row))})" for row in content["zip"]["rows"])
        text = f"zip({', '.join(names)}: {rows})"
    if "when" in content:
        points = tuple(tuple(point) for point in content["when"]["points"])
        text = f"{text} when {Condition(tuple(content['when']['parents']), points)}"
    return text


def _values(kind: str, options: Mapping[str, Any]) -> str:
    if kind == "CategoricalDistribution":
        return f"choice({', '.join(str(choice) for choice in options['choices'])})"
    whole = "int " if kind == "IntDistribution" else ""
    text = f"{whole}interval({options['low']}, {options['high']})"
    if options.get("log"):
        text = f"log {text}"
    step = options.get("step")
    return f"{text} in steps of {step}" if step and not (whole and step == 1) else text


def display_names(keys: Sequence[str]) -> list[str]:
    """Return the displayed name of every key: without ``+`` and ``stages.``, unless two collide.

    >>> display_names(["stages.finetune.epochs", "+seed"])
    ['finetune.epochs', 'seed']
    >>> display_names(["stages.data.size", "data.size"])
    ['stages.data.size', 'data.size']
    """
    full = [key.lstrip("+") for key in keys]
    short = [key.removeprefix(DROPPED_PREFIX) for key in full]
    return [name if short.count(name) == 1 else key for name, key in zip(short, full, strict=True)]


def _equal_numbers(one: Any, other: Any) -> bool:
    return _is_number(one) and _is_number(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
