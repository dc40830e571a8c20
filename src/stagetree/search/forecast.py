"""What a search would run, counted on the stage tree without running anything."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.pruners import NopPruner

from stagetree.pipeline.needs import computed
from stagetree.search.composer import Composer
from stagetree.search.dependence import drawn
from stagetree.search.samplers import build_pruner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from omegaconf import DictConfig

    from stagetree.pipeline.nodes import Node, Pipeline
    from stagetree.search.attempt import App
    from stagetree.search.parameter import Parameter
    from stagetree.search.preview import Preview
    from stagetree.search.space import Space

COMBINATIONS = 64
"""So many combinations of discrete values are looked at to bound what unknown points cost."""

Example = tuple["Pipeline", "Node"]
"""A stage and the pipeline it belongs to."""


@dataclass(frozen=True)
class Work:
    """Stages of one kind that would be computed.

    Attributes:
        kind: Their kind.
        examples: Stages like them, or these themselves.
        fewest: How many at least.
        most: How many at most.
    """

    kind: str
    examples: tuple[Example, ...]
    fewest: int
    most: int


@dataclass(frozen=True)
class Forecast:
    """How much a line would run if every trial completed.

    Attributes:
        trials: How many runs or trials.
        done: How many trials of the study have ended before.
        work: What would be computed.
        reused: How often a stage would come from the store or from another trial: at least
            and at most.
        may_end_early: Whether a pruner or a budget may leave work out.
    """

    trials: int
    done: int
    work: tuple[Work, ...]
    reused: tuple[int, int]
    may_end_early: bool = False

    @property
    def exact(self) -> bool:
        """Whether the counts depend neither on scores nor on time."""
        bounded = any(work.fewest != work.most for work in self.work)
        return not bounded and self.reused[0] == self.reused[1] and not self.may_end_early


class Tally:
    """Counts what pipelines would compute; a stage that two of them share counts once.

    Args:
        stored: Returns whether a signature is in the store.
        remembered: Returns whether its record is, though its model was freed.
    """

    def __init__(
        self, stored: Callable[[str], bool], remembered: Callable[[str], bool] = lambda key: False
    ) -> None:
        self._stored = stored
        self._remembered = remembered
        self._known: dict[str, bool] = {}
        self.work: list[Work] = []
        self.reused = 0

    def add(self, pipeline: Pipeline) -> None:
        """Count one run of a pipeline."""
        ahead = computed(pipeline, self.has, self._remembered)
        for node in pipeline.nodes:
            if node.signature not in ahead or self.has(node.signature):
                self.reused += 1
            else:
                self._known[node.signature] = True
                self.work.append(Work(node.stage.kind, ((pipeline, node),), 1, 1))

    def has(self, signature: str) -> bool:
        """Return whether a result is stored or counted."""
        if signature not in self._known:
            self._known[signature] = self._stored(signature)
        return self._known[signature]


def single(
    pipeline: Pipeline,
    stored: Callable[[str], bool],
    remembered: Callable[[str], bool] = lambda key: False,
) -> Forecast:
    """Count what one run computes."""
    tally = Tally(stored, remembered)
    tally.add(pipeline)
    return Forecast(1, 0, tuple(tally.work), (tally.reused, tally.reused))


def forecast(
    preview: Preview,
    read: Callable[[DictConfig], Pipeline],
    stored: Callable[[str], bool],
    remembered: Callable[[str], bool] = lambda key: False,
) -> Forecast:
    """Count what a search would compute.

    Trials whose points are known are counted exactly. The others are bounded: a stage that has
    the same signature at every point is computed once, one that depends on discrete values only
    at most once for each combination of them, any other at most once a trial.

    Args:
        preview: The search.
        read: Returns the pipeline of a configuration.
        stored: Returns whether a signature is in the store.
        remembered: Returns whether its record is, though its model was freed.
    """
    reading, upcoming = preview.reading, preview.upcoming
    composer = Composer(preview.app, reading.fixed)

    def at(point: Mapping[str, Any]) -> Pipeline:
        return read(composer.compose(reading.space.overrides(point)))

    tally = Tally(stored, remembered)
    for point in upcoming.points:
        tally.add(at(point))
    work, reused = list(tally.work), (tally.reused, tally.reused)
    if upcoming.unknown:
        custom = reading.space.custom is not None
        points = [drawn(reading.space)] if custom else probes(preview.app, reading.space)
        groups = [[at(point) for point in group] for group in points]
        more, (least, most) = bound(groups, upcoming.unknown, tally)
        work, reused = work + more, (tally.reused + least, tally.reused + most)
    pruned = not isinstance(build_pruner(reading.pruner), NopPruner)
    trials = len(upcoming.points) + upcoming.unknown
    return Forecast(trials, upcoming.done, tuple(work), reused, pruned or preview.budgeted)


def probes(app: App, space: Space) -> Iterator[list[dict[str, Any]]]:
    """Yield points that show what a stage depends on, a group for each discrete combination.

    Within a group only the other parameters differ, all at once: intervals, and what has too
    many choices to try every combination. Options of config groups are combined first.
    """
    combined: list[Parameter] = []
    for parameter in sorted(space.parameters, key=lambda one: _rank(app, one)):
        size = math.prod(len(one.choices) for one in [*combined, parameter])
        if parameter.choices and size <= COMBINATIONS:
            combined.append(parameter)
    others = [parameter for parameter in space.parameters if parameter not in combined]
    names = [parameter.name for parameter in combined]
    for choices in itertools.product(*(parameter.choices for parameter in combined)):
        values = dict(zip(names, (choice.value for choice in choices), strict=True))
        if all(zipped.matching(values) for zipped in space.zips):
            yield [space.existing({**values, **point}) for point in _spread(others)]


def _rank(app: App, parameter: Parameter) -> tuple[bool, int]:
    group = parameter.key.lstrip("+").split("@")[0]
    return not app.context.config_loader.get_group_options(group), len(parameter.choices)


def _spread(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """Return the points at the lower end, in the middle and at the upper end of parameters."""
    if not parameters:
        return [{}]
    return [{one.name: _value(one, place) for one in parameters} for place in (0.0, 0.5, 1.0)]


def _value(parameter: Parameter, place: float) -> Any:
    if parameter.choices:
        return parameter.choices[round(place * (len(parameter.choices) - 1))].value
    distribution: Any = parameter.distribution  # an interval
    return distribution.low if place < 1 else distribution.high


def bound(
    groups: Sequence[Sequence[Pipeline]], trials: int, tally: Tally
) -> tuple[list[Work], tuple[int, int]]:
    """Bound what trials with unknown points compute and reuse.

    Args:
        groups: Pipelines at the points of :func:`probes`.
        trials: How many trials there are.
        tally: What is stored or counted already.
    """
    cases = [_Case(pipelines, tally) for pipelines in groups]
    lengths = [len(pipeline.nodes) for pipelines in groups for pipeline in pipelines]
    work = [
        _bounded(kind, cases, trials)
        for kind in dict.fromkeys(kind for case in cases for kind in case.kinds())
    ]
    fewest, most = sum(one.fewest for one in work), sum(one.most for one in work)
    least = max(0, trials * min(lengths) - most)
    return work, (least, trials * max(lengths) - fewest)


def _bounded(kind: str, cases: Sequence[_Case], trials: int) -> Work:
    fixed = {signature: node for case in cases for signature, node in case.fixed(kind).items()}
    free = [case.free(kind) for case in cases]
    a_trial = max(len(case.fixed(kind)) + len(case.free(kind)) for case in cases)
    most = min(trials * a_trial, len(fixed) + trials * max(len(nodes) for nodes in free))
    examples = (*fixed.values(), *(node for nodes in free for node in nodes))
    return Work(kind, examples, min(len(case.fixed(kind)) for case in cases), most)


class _Case:
    """One combination of discrete values: its stages that are not stored or counted yet."""

    def __init__(self, pipelines: Sequence[Pipeline], tally: Tally) -> None:
        self._pipelines = pipelines
        self._tally = tally

    def kinds(self) -> list[str]:
        return [node.stage.kind for pipeline in self._pipelines for node in pipeline.nodes]

    def fixed(self, kind: str) -> dict[str, Example]:
        """Return the stages that have one signature whatever else varies."""
        return {
            node.signature: (self._pipelines[0], node)
            for node in self._pipelines[0].nodes
            if node.stage.kind == kind
            and self._is_fixed(node)
            and not self._tally.has(node.signature)
        }

    def free(self, kind: str) -> list[Example]:
        """Return the stages that have another signature when something else varies."""
        return max(
            (
                [
                    (pipeline, node)
                    for node in pipeline.nodes
                    if node.stage.kind == kind and not self._is_fixed(node)
                ]
                for pipeline in self._pipelines
            ),
            key=len,
        )

    def _is_fixed(self, node: Node) -> bool:
        return all(
            any(other.signature == node.signature for other in pipeline.nodes)
            for pipeline in self._pipelines
        )
