"""When a parameter exists, as a sweep states it: ``{values: ..., when: {stage: [distill]}}``."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.search.condition import Condition
from stagetree.search.keys import NOWHERE, default

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from omegaconf import DictConfig

    from stagetree.search.parameter import Parameter

PARAMS = "hydra.sweeper.params"


def take_apart(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a configured space by key, and the conditions of those that have one.

    >>> take_apart({"a": "interval(0, 1)", "b": {"values": [1, 2], "when": {"stage": "distill"}}})
    ({'a': 'interval(0, 1)', 'b': [1, 2]}, {'b': {'stage': 'distill'}})
    """
    stated = {
        key: value
        for key, value in params.items()
        if isinstance(value, dict) and value.keys() == {"values", "when"}
    }
    values = {key: stated[key]["values"] if key in stated else params[key] for key in params}
    return values, {key.lstrip("+"): value["when"] for key, value in stated.items()}


def stated(
    parameters: Sequence[Parameter],
    whens: Mapping[str, Any],
    config: DictConfig,
    given: Collection[str] = (),
) -> list[Parameter]:
    """Return the parameters with the conditions that a sweep states for them.

    One whose condition is about a key that does not vary on this line exists always or, if the
    condition does not hold, is left out.

    Args:
        parameters: All parameters.
        whens: By key: the values of other keys for which it exists.
        config: The composed configuration without the swept keys.
        given: Keys that the command line sets.

    Raises:
        ConfigError: With every condition that names no key, or a value that it cannot have.
    """
    keys = {parameter.key.lstrip("+") for parameter in parameters}
    faults = [
        Fault(f"{PARAMS}.{key}.when", "expected a list or a sweep as values, even of one value")
        for key in whens
        if key not in keys and key not in given
    ]
    found: list[Parameter] = []
    for parameter in parameters:
        when = whens.get(parameter.key.lstrip("+"))
        if when is None:
            found.append(parameter)
            continue
        path = f"{PARAMS}.{parameter.key.lstrip('+')}.when"
        others = [other for other in parameters if other is not parameter]
        condition = _read(path, when, others, config, faults)
        if condition is None:
            continue
        found.append(
            dataclasses.replace(parameter, condition=condition if condition.parents else None)
        )
    faults += _circles(found)
    if faults:
        raise ConfigError(faults)
    return found


def _read(
    path: str, when: Any, others: Sequence[Parameter], config: DictConfig, faults: list[Fault]
) -> Condition | None:
    """Return a condition on the keys that vary; ``None`` when the others rule it out."""
    if not isinstance(when, dict) or not when:
        message = f"expected values by key, e.g. {{stage: [distill]}}, but got {when!r}"
        faults.append(Fault(path, message))
        return None
    known = {one.name: one for one in others} | {one.key.lstrip("+"): one for one in others}
    axes: dict[str, list[Any]] = {}
    holds = True
    for key, given in when.items():
        values = given if isinstance(given, list) else [given]
        parent = known.get(key)
        if parent is None:
            value = default(config, key)
            if value is NOWHERE:
                faults.append(Fault(f"{path}.{key}", unknown("key", key, list(known))))
            holds = holds and value in values
        elif not parent.choices:
            message = f"expected a key with listed values but {key} is an interval"
            faults.append(Fault(f"{path}.{key}", message))
        else:
            axes[parent.name] = _admitted(parent, values, f"{path}.{key}", faults)
    return Condition(tuple(axes), tuple(itertools.product(*axes.values()))) if holds else None


def _admitted(
    parent: Parameter, values: Sequence[Any], path: str, faults: list[Fault]
) -> list[Any]:
    found: list[Any] = []
    for value in values:
        try:
            found.append(parent.admit(value))
        except ValueError as error:
            faults.append(Fault(path, str(error)))
    return found


def _circles(parameters: Sequence[Parameter]) -> list[Fault]:
    """Return a fault for every parameter that exists only if it exists."""
    parents = {one.name: one.condition.parents for one in parameters if one.condition}

    def above(name: str, seen: frozenset[str]) -> bool:
        return name in seen or any(above(up, seen | {name}) for up in parents.get(name, ()))

    return [
        Fault(
            f"{PARAMS}.{one.key.lstrip('+')}.when",
            f"expected conditions without a circle but got {one.condition}",
        )
        for one in parameters
        if above(one.name, frozenset())
    ]
