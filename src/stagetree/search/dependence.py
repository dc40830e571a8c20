"""Which hyperparameters a stage's result depends on, found out by composing points."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from optuna import create_study
from optuna.samplers import RandomSampler

from stagetree.core.errors import ConfigError
from stagetree.search.composer import Composer
from stagetree.search.space import suggest
from stagetree.search.zipping import ZippedSampler

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from stagetree.search.attempt import App
    from stagetree.search.space import Space

Dependence = Mapping[str, frozenset[str]]
"""Displayed names of the parameters that each stage's result depends on, by stage, in order.

Two trials share a stage's result exactly if they have equal values, or none, for all of them.
"""

Outline = Callable[["DictConfig"], Sequence[tuple[str, str]]]
"""Returns name and signature of each stage that a configuration runs, in order."""

DRAWN = 16
"""So many points of a space are drawn to see what it can give, ..."""

PAIRS = 2
"""... and so many of them show what a parameter changes, by taking another one's value."""


def find(app: App, fixed: Sequence[str], space: Space, outline: Outline) -> Dependence:
    """Return which parameters each stage depends on.

    Points drawn at random get another value for one parameter at a time: a stage whose signature
    that changes depends on it. A parameter that no point could show counts for every stage.

    Args:
        app: Composes configurations.
        fixed: Overrides that every trial shares.
        space: The search space.
        outline: Returns the stages of a configuration.
    """
    probe = _Probe(Composer(app, fixed), space, outline)
    points = [point for point in drawn(space) if probe.stages(point)]
    order = _in_order([list(probe.stages(point) or {}) for point in points])
    found: dict[str, set[str]] = {stage: set() for stage in order}
    for name in {name for point in points for name in point}:
        changed = probe.changed_by(name, points)
        for stage in order if changed is None else changed & found.keys():
            found[stage].add(name)
    return {stage: frozenset(names) for stage, names in found.items()}


class _Probe:
    """Looks at points, at each once."""

    def __init__(self, composer: Composer, space: Space, outline: Outline) -> None:
        self._composer = composer
        self._space = space
        self._outline = outline
        self._known: dict[str, dict[str, str] | None] = {}

    def stages(self, point: Mapping[str, Any]) -> dict[str, str] | None:
        """Return the signature of each stage at a point; ``None`` where it is no pipeline."""
        words = self._space.overrides(point)
        key = "\n".join(words)
        if key not in self._known:
            try:
                self._known[key] = dict(self._outline(self._composer.compose(words)))
            except (ConfigError, HydraException, OmegaConfBaseException):
                self._known[key] = None
        return self._known[key]

    def changed_by(self, name: str, points: Sequence[Mapping[str, Any]]) -> set[str] | None:
        """Return the stages that a parameter changes; ``None`` when nothing could be seen."""
        having = [point for point in points if name in point]
        having.sort(key=lambda point: len(self.stages(point) or {}), reverse=True)
        changed: set[str] | None = None
        shown: dict[tuple[str, ...], int] = {}
        for point, other in itertools.permutations(having, 2):
            kind = tuple(self.stages(point) or {})
            if point[name] == other[name] or shown.get(kind, 0) >= PAIRS:
                continue
            after = self.stages(self._with(point, other, name))
            if after is None:
                continue
            shown[kind] = shown.get(kind, 0) + 1
            before = self.stages(point) or {}
            changed = (changed or set()) | {
                stage for stage in {**before, **after} if before.get(stage) != after.get(stage)
            }
        return changed

    def _with(
        self, point: Mapping[str, Any], other: Mapping[str, Any], name: str
    ) -> dict[str, Any]:
        """Return a point with another one's value of a parameter, and of all it moves with."""
        zipped = self._space.zip_of(name)
        moved = {one: other[one] for one in (zipped.names if zipped else (name,)) if one in other}
        mixed = {**other, **point, **moved}
        own = {key: value for key, value in mixed.items() if key not in self._space.distributions}
        return {**self._space.existing(mixed), **{key: own[key] for key in own if key in point}}


def drawn(space: Space) -> list[dict[str, Any]]:
    """Return points drawn at random, always the same ones: what a space can give."""
    sampler = ZippedSampler(RandomSampler(seed=0), space, 0) if space.zips else RandomSampler(0)
    study = create_study(sampler=sampler)
    return [suggest(study.ask(), space) for _ in range(DRAWN)]


def _in_order(pipelines: Sequence[Sequence[str]]) -> list[str]:
    """Return the stages of all pipelines, each after those that come before it in any."""
    order: list[str] = []
    for stages in sorted(pipelines, key=len, reverse=True):
        place = 0
        for stage in stages:
            if stage in order:
                place = max(place, order.index(stage) + 1)
            else:
                order.insert(place, stage)
                place += 1
    return order
