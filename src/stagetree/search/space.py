"""The search space: what may vary, as Optuna distributions and as Hydra overrides."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna import Trial

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
    """

    name: str
    key: str
    distribution: BaseDistribution
    choices: tuple[Choice, ...] = ()

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

    def override(self, value: Any) -> str:
        """Return the Hydra override that sets ``value``."""
        if self.choices:
            return f"{self.key}={self.choices[self.position(value)].text}"
        return f"{self.key}={value!r}"


@dataclass(frozen=True)
class Space:
    """All varied keys, in the order of the command line."""

    parameters: tuple[Parameter, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna samples from, by displayed name."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    @property
    def discrete(self) -> bool:
        """Whether every point can be listed."""
        return all(parameter.choices for parameter in self.parameters)

    @property
    def size(self) -> int:
        """How many points a discrete space has."""
        return math.prod(len(parameter.choices) for parameter in self.parameters)

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield every point of a discrete space, the last key varying fastest."""
        names = [parameter.name for parameter in self.parameters]
        axes = [[choice.value for choice in parameter.choices] for parameter in self.parameters]
        for values in itertools.product(*axes):
            yield dict(zip(names, values, strict=True))

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the Hydra overrides of a point."""
        return [parameter.override(params[parameter.name]) for parameter in self.parameters]

    def describe(self) -> dict[str, str]:
        """Return the space as text a key, equal exactly when the spaces are."""
        return {
            parameter.key.lstrip("+"): distribution_to_json(parameter.distribution)
            for parameter in self.parameters
        }


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: ``1`` is not ``True``, NaN is NaN."""
    return type(one) is type(other) and (one == other or repr(one) == repr(other) == "nan")


def readable(distribution: str) -> str:
    """Return the text of :meth:`Space.describe` as a person would write it.

    >>> from optuna.distributions import CategoricalDistribution, distribution_to_json
    >>> readable(distribution_to_json(CategoricalDistribution([1, 2])))
    'choice(1, 2)'
    """
    import json

    content = json.loads(distribution)
    options = content["attributes"]
    if content["name"] == "CategoricalDistribution":
        return f"choice({', '.join(str(choice) for choice in options['choices'])})"
    kind = "int " if content["name"] == "IntDistribution" else ""
    text = f"{kind}interval({options['low']}, {options['high']})"
    if options.get("log"):
        text = f"log {text}"
    step = options.get("step")
    return f"{text} in steps of {step}" if step and not (kind and step == 1) else text


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Give the trial a value for every parameter; values it has already stay as they are."""
    return {
        parameter.name: _suggest(trial, parameter.name, parameter.distribution)
        for parameter in space.parameters
    }


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    raise TypeError(f"expected a float, int or categorical distribution but got {distribution!r}")


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
