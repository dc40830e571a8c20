"""When a parameter exists, found out by composing the choices of the swept config groups."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import ConfigError, Fault
from stagetree.search.condition import Condition
from stagetree.search.keys import has_key
from stagetree.search.overrides import Line
from stagetree.search.overrides import parameters as parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from stagetree.search.attempt import App
    from stagetree.search.parameter import Parameter

LIMIT = 64
"""So many combinations of config groups are composed, at some 50 ms each."""

Table = dict[tuple[Any, ...], bool]
"""Whether a key exists, by the values of its parents."""


def unfixed(app: App, line: Line) -> Line:
    """Return a line on which fixed values of keys that some trials lack count as sweeps of one.

    ``stages.distill.alpha=0.7`` is fine beside ``stage=finetune,distill``: it is set where the
    key exists.
    """
    loader = app.context.config_loader
    sweeping = [one for one in line.sweeps if loader.get_group_options(one.key_or_group)]
    if not sweeping:
        return line
    parser = OverridesParser.create(config_loader=loader)
    parsed = [(text, parser.parse_override(text)) for text in line.fixed]
    plain = [
        (text, one)
        for text, one in parsed
        if one.type == OverrideType.CHANGE
        and not one.is_hydra_override()
        and not loader.get_group_options(one.key_or_group)
    ]
    kept = [text for text in line.fixed if text not in {text for text, _ in plain}]
    presence = _Presence(app, kept, parameters_of(sweeping, app.config))
    points = list(presence.one_at_a_time())
    lacking = [
        (text, one)
        for text, one in plain
        if not all(presence.has(one.key_or_group, point) for point in points)
    ]
    texts = {text for text, _ in lacking}
    fixed = tuple(text for text in line.fixed if text not in texts)
    return Line(fixed, (*line.sweeps, *(one for _, one in lacking)))


def automatic(app: App, fixed: Sequence[str], parameters: Sequence[Parameter]) -> list[Parameter]:
    """Return the parameters with the conditions that config groups put on them.

    A key that some choices of the swept groups compose and others do not
    (``stages.distill.temperature`` under ``stage=finetune,distill``) exists for the former. A key
    that none composes is left as it is.

    Raises:
        ConfigError: There are too many combinations of groups to try.
    """
    groups = [one for one in parameters if one.choices and not one.condition and _group(app, one)]
    keys = [
        one
        for one in parameters
        if one not in groups and one.condition is None and not one.key.startswith("+")
    ]
    if not groups or not keys:
        return list(parameters)
    presence = _Presence(app, fixed, groups)
    single = list(presence.one_at_a_time())
    lacking = [one for one in keys if not all(presence.has(one.key, point) for point in single)]
    if math.prod(len(group.choices) for group in groups) > LIMIT:
        _refuse(lacking)
    conditions = {one.name: presence.condition(one.key) for one in lacking}
    return [
        dataclasses.replace(one, condition=conditions[one.name]) if one in lacking else one
        for one in parameters
    ]


class _Presence:
    """Which keys the choices of config groups compose."""

    def __init__(self, app: App, fixed: Sequence[str], groups: Sequence[Parameter]) -> None:
        self._app = app
        self._fixed = fixed
        self._groups = groups
        self._axes = [[choice.value for choice in group.choices] for group in groups]
        self._known: dict[str, DictConfig | None] = {}

    def one_at_a_time(self) -> list[tuple[Any, ...]]:
        """Return the first choice of every group, and every other choice of each by itself."""
        first = [axis[0] for axis in self._axes]
        others = [
            (*first[:place], value, *first[place + 1 :])
            for place, axis in enumerate(self._axes)
            for value in axis[1:]
        ]
        return [tuple(first), *others]

    def has(self, key: str, point: Sequence[Any]) -> bool:
        """Return whether a combination of choices has a key; one that does not compose counts."""
        config = self._composed(point)
        return config is None or has_key(config, key)

    def condition(self, key: str) -> Condition | None:
        """Return when a key exists, in terms of the groups that matter.

        Of one that never does it is when what it is in exists, so that it is missed there.
        """
        table = {
            point: self.has(key, point)
            for point in itertools.product(*self._axes)
            if self._composed(point) is not None
        }
        if all(table.values()):
            return None
        if not any(table.values()):
            parent = key.rpartition(".")[0]
            return self.condition(parent) if parent else None
        names = [group.name for group in self._groups]
        for name in list(names):
            smaller = _without(names.index(name), table)
            if smaller is not None and len(names) > 1:
                table = smaller
                names.remove(name)
        return Condition(tuple(names), tuple(point for point, has in table.items() if has))

    def _composed(self, point: Sequence[Any]) -> DictConfig | None:
        pairs = zip(self._groups, point, strict=True)
        texts = [group.override(value) for group, value in pairs]
        key = "\n".join(texts)
        if key not in self._known:
            try:
                self._known[key] = self._app.compose([*self._fixed, *texts])
            except (HydraException, OmegaConfBaseException):  # validation says what is wrong
                self._known[key] = None
        return self._known[key]


def _without(place: int, table: Table) -> Table | None:
    """Return a table without one of its parents, or ``None`` when that one matters."""
    smaller: Table = {}
    for point, has in table.items():
        rest = (*point[:place], *point[place + 1 :])
        if smaller.setdefault(rest, has) != has:
            return None
    return smaller


def _group(app: App, parameter: Parameter) -> bool:
    group = parameter.key.lstrip("+").split("@")[0]
    return bool(app.context.config_loader.get_group_options(group))


def _refuse(lacking: Sequence[Parameter]) -> None:
    faults = [
        Fault(
            one.key,
            f"exists for some choices of the swept config groups only, and there are more than "
            f"{LIMIT} combinations of those. Say when it does: hydra.sweeper.params with "
            "{values: ..., when: {GROUP: [OPTION, ...]}}.",
        )
        for one in lacking
    ]
    if faults:
        raise ConfigError(faults)
