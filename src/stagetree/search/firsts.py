"""The points a search begins with: the configuration's own values, and those a person names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.search.keys import default
from stagetree.search.notes import is_imported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omegaconf import DictConfig
    from optuna.trial import FrozenTrial

    from stagetree.search.space import Space

Point = dict[str, Any]


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
    found: Point = {}
    for parameter in space.parameters:
        with contextlib.suppress(ValueError):
            found[parameter.name] = parameter.admit(default(config, parameter.key))
    for zipped in space.zips:
        if not zipped.matching(found):
            found = {name: value for name, value in found.items() if name not in zipped.names}
    return space.existing(_zipped(space, found))


def _named(space: Space, given: Mapping[str, Any], path: str, faults: list[Fault]) -> Point:
    known = {parameter.name: parameter for parameter in space.parameters}
    known |= {parameter.key.lstrip("+"): parameter for parameter in space.parameters}
    point: Point = {}
    for key, value in given.items():
        if key not in known:
            names = [parameter.name for parameter in space.parameters]
            faults.append(Fault(f"{path}.{key}", unknown("parameter", key, names)))
            continue
        try:
            point[known[key].name] = known[key].admit(value)
        except ValueError as error:
            faults.append(Fault(f"{path}.{key}", str(error)))
    for zipped in space.zips:
        if not zipped.matching(point):
            together = ", ".join(zipped.names)
            faults.append(Fault(path, f"expected values of {together} that go together"))
    for name in point:
        condition = known[name].condition
        if condition and point.keys() >= set(condition.parents) and not condition.holds(point):
            faults.append(Fault(f"{path}.{name}", f"exists for {condition} only"))
    return _zipped(space, point)


def _zipped(space: Space, point: Point) -> Point:
    """Return a point in which what moves together is given together."""
    whole = dict(point)
    for zipped in space.zips:
        rows = zipped.matching(point)
        if rows and any(name in point for name in zipped.names):
            whole |= dict(zip(zipped.names, rows[0], strict=True))
    return whole
