"""The points a search begins with: the configuration's own values, and those a person names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import IntDistribution, distribution_to_json

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.search.notes import is_imported
from stagetree.search.space import readable, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

    from stagetree.search.space import Parameter, Space

Point = dict[str, Any]
_NOWHERE = object()


def first_points(
    space: Space,
    config: DictConfig,
    enqueued: Sequence[Mapping[str, Any]],
    *,
    defaults_first: bool,
) -> tuple[Point, ...]:
    """Return the points to run first, in order; parameters they leave out are sampled.

    The defaults say how good one was before the search; a value of theirs that lies outside of
    the space is left to the sampler.

    Args:
        space: The search space.
        config: The composed configuration without the swept keys.
        enqueued: Points by key or displayed name, as in ``hydra.sweeper.enqueue``.
        defaults_first: Whether the configuration's own values come first.

    Raises:
        ConfigError: A point names no parameter of the space, or a value outside of it.
    """
    points: list[Point] = []
    if defaults_first:
        points.append(_defaults(space, config))
    faults: list[Fault] = []
    for place, given in enumerate(enqueued):
        points.append(_named(space, given, f"hydra.sweeper.enqueue[{place}]", faults))
    if faults:
        raise ConfigError(faults)
    distinct: list[Point] = []
    for point in points:
        if point and point not in distinct:
            distinct.append(point)
    return tuple(distinct)


def still_to_run(
    points: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]
) -> tuple[Mapping[str, Any], ...]:
    """Return the points that no trial imported from an earlier version of the study has."""
    known = [trial.params for trial in trials if is_imported(trial)]
    return tuple(point for point in points if point not in known)


def _defaults(space: Space, config: DictConfig) -> Point:
    found = {
        parameter.name: _admitted(parameter, _default(parameter, config))
        for parameter in space.parameters
    }
    return {name: value for name, value in found.items() if value is not _NOWHERE}


def _default(parameter: Parameter, config: DictConfig) -> Any:
    """Return the value that the configuration has for a parameter, or the option of a group."""
    key = parameter.key.lstrip("+")
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    if key in choices:
        return choices[key]
    try:
        value = OmegaConf.select(config, key, default=_NOWHERE)
    except OmegaConfBaseException:
        return _NOWHERE
    return OmegaConf.to_container(value) if isinstance(value, Container) else value


def _named(space: Space, given: Mapping[str, Any], path: str, faults: list[Fault]) -> Point:
    known = {parameter.name: parameter for parameter in space.parameters}
    known |= {parameter.key.lstrip("+"): parameter for parameter in space.parameters}
    point: Point = {}
    for key, value in given.items():
        if key not in known:
            names = [parameter.name for parameter in space.parameters]
            faults.append(Fault(f"{path}.{key}", unknown("parameter", key, names)))
            continue
        parameter = known[key]
        admitted = _admitted(parameter, value)
        if admitted is _NOWHERE:
            wanted = readable(distribution_to_json(parameter.distribution))
            faults.append(Fault(f"{path}.{key}", f"expected one of {wanted} but got {value!r}"))
        else:
            point[parameter.name] = admitted
    return point


def _admitted(parameter: Parameter, value: Any) -> Any:
    """Return ``value`` as the study keeps it, or ``_NOWHERE`` when it is not in the space."""
    if value is _NOWHERE:
        return _NOWHERE
    for choice in parameter.choices:
        if same(choice.value, value) or _equal_numbers(choice.value, value):
            return choice.value
        if isinstance(value, list) and choice.text == Override._get_value_element_as_str(value):
            return choice.value
    if parameter.choices or not _is_number(value):
        return _NOWHERE
    distribution = parameter.distribution
    whole = isinstance(distribution, IntDistribution)
    number = int(value) if whole and value == int(value) else float(value)
    return number if distribution._contains(number) else _NOWHERE


def _equal_numbers(one: Any, other: Any) -> bool:
    return _is_number(one) and _is_number(other) and one == other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
