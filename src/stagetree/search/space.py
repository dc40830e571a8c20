"""The search space: what varies, what moves together, what exists where."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from stagetree.search.condition import alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Trial

    from stagetree.search.custom import CustomSpace
    from stagetree.search.parameter import Parameter


def point_text(params: Mapping[str, Any]) -> str:
    """Return a point as text that only equal points have: ``1`` and ``True`` differ.

    >>> point_text({"b": True, "a": 1})
    "[('a', 1), ('b', True)]"
    """
    return repr(sorted(params.items()))


@dataclass(frozen=True)
class Zip:
    """Parameters that move together.

    Attributes:
        names: Their displayed names.
        rows: The values they have together.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def matching(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows that agree with the values a point has already."""
        known = [(place, params[name]) for place, name in enumerate(self.names) if name in params]
        return [row for row in self.rows if all(alike(row[place], value) for place, value in known)]


@dataclass(frozen=True)
class Space:
    """All varied keys, in the order of the command line.

    Attributes:
        parameters: The keys.
        zips: Those of them that move together; each is in one zip at most.
        custom: What a function of the user's adds to every trial.
    """

    parameters: tuple[Parameter, ...]
    zips: tuple[Zip, ...] = ()
    custom: CustomSpace | None = None

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna samples from, by displayed name."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    @property
    def discrete(self) -> bool:
        """Whether every point can be listed."""
        return self.custom is None and all(parameter.choices for parameter in self.parameters)

    @property
    def conditional(self) -> bool:
        """Whether some points lack parameters that others have."""
        found = any(parameter.condition is not None for parameter in self.parameters)
        return found or self.custom is not None

    @cached_property
    def ordered(self) -> tuple[Parameter, ...]:
        """The parameters, each after those that decide whether it exists, or on its value."""
        left = list(self.parameters)
        order: dict[str, Parameter] = {}
        while left:
            ready = next((one for one in left if self._before(one) <= order.keys()), left[0])
            left.remove(ready)
            order[ready.name] = ready
        return tuple(order.values())

    @cached_property
    def size(self) -> int:
        """How many points a discrete space has."""
        if self.conditional:
            return len(self.points)
        free = [parameter for parameter in self.parameters if not self.zip_of(parameter.name)]
        rows = [len(zipped.rows) for zipped in self.zips]
        return math.prod([*(len(parameter.choices) for parameter in free), *rows])

    @cached_property
    def points(self) -> tuple[dict[str, Any], ...]:
        """Every point of a discrete space, the last key varying fastest."""
        axes: list[list[dict[str, Any]]] = []
        for parameter in self.parameters:
            zipped = self.zip_of(parameter.name)
            if zipped is None:
                axes.append([{parameter.name: choice.value} for choice in parameter.choices])
            elif zipped.names[0] == parameter.name:
                axes.append([dict(zip(zipped.names, row, strict=True)) for row in zipped.rows])
        points = (
            self.existing({name: value for part in parts for name, value in part.items()})
            for parts in itertools.product(*axes)
        )
        if not self.conditional:
            return tuple(points)
        return tuple({repr(point): point for point in points}.values())

    def zip_of(self, name: str) -> Zip | None:
        """Return the zip that a parameter is in."""
        return next((zipped for zipped in self.zips if name in zipped.names), None)

    def _before(self, parameter: Parameter) -> set[str]:
        """Return the names of the parameters that must have their values first."""
        parents = set(parameter.condition.parents) if parameter.condition else set[str]()
        zipped = self.zip_of(parameter.name)
        return (parents | ({zipped.names[0]} if zipped else set())) - {parameter.name}

    def existing(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point without the parameters that do not exist there, in order."""
        found: dict[str, Any] = {}
        for parameter in self.ordered:
            if parameter.name in point and parameter.exists(found):
                found[parameter.name] = point[parameter.name]
        return {one.name: found[one.name] for one in self.parameters if one.name in found}

    def whole(self, point: Mapping[str, Any]) -> bool:
        """Return whether a point has exactly the parameters that exist there."""
        return all(one.exists(point) == (one.name in point) for one in self.parameters)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the Hydra overrides of a point."""
        texts = [one.override(params[one.name]) for one in self.parameters if one.name in params]
        if self.custom is None:
            return texts
        own = {name: value for name, value in params.items() if name not in self.distributions}
        return [*texts, *self.custom.overrides(own)]

    def describe(self) -> dict[str, str]:
        """Return the space as text a key, equal exactly when the spaces are."""
        return {one.key.lstrip("+"): self._described(one) for one in self.parameters}

    def _described(self, parameter: Parameter) -> str:
        text = distribution_to_json(parameter.distribution)
        more: dict[str, Any] = {}
        if parameter.condition is not None:
            more["when"] = parameter.condition.plain()
        zipped = self.zip_of(parameter.name)
        if zipped is not None:
            more["zip"] = {"names": list(zipped.names), "rows": [list(row) for row in zipped.rows]}
        return json.dumps({**json.loads(text), **more}) if more else text


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Give the trial a value for every parameter that it has; what is set stays as it is.

    Raises:
        ConfigError: The function of a custom space raised.
    """
    found: dict[str, Any] = {}
    for parameter in space.ordered:
        if parameter.exists(found):
            found[parameter.name] = _suggest(trial, parameter.name, parameter.distribution)
    point = space.existing(found)
    if space.custom is not None:
        point |= space.custom.suggest(trial, space.distributions)
    return point


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
