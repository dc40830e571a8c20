"""What a search would run, counted on the stage tree without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from stagetree.search import overrides
from stagetree.search.samplers import GRID, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hydra.core.config_loader import ConfigLoader

NodeKey = tuple[str, str]
"""Kind and signature of a stage."""


@dataclass(frozen=True)
class Forecast:
    """How much a line would run.

    Attributes:
        trials: How many runs or trials.
        exact: Whether the counts below are exact; for a sampled search they are upper bounds.
        executions: Stages that would be computed, once each, by kind.
        reused: How often a stage would come from the store or from another trial.
    """

    trials: int
    exact: bool
    executions: Mapping[str, int]
    reused: int


@dataclass(frozen=True)
class Search:
    """A search line taken apart.

    Attributes:
        points: Overrides of every trial, for a grid; of one sampled-from trial otherwise.
        trials: How many trials it asks for.
        exact: Whether ``points`` are all the trials.
    """

    points: tuple[tuple[str, ...], ...]
    trials: int
    exact: bool


def read_search(words: Sequence[str], config: DictConfig, loader: ConfigLoader) -> Search:
    """Take a search line apart.

    Args:
        words: Overrides of the command line.
        config: The configuration they compose to, sweeps left out, with the ``hydra`` node.
        loader: Lists config groups.

    Raises:
        ConfigError: The line cannot be read.
    """
    sweeper = config.hydra.sweeper
    params = OmegaConf.to_container(sweeper.params, resolve=True) if sweeper.params else {}
    assert isinstance(params, dict)
    line = overrides.split(words, {str(key): value for key, value in params.items()}, loader)
    space = overrides.space(line.sweeps, config)
    if not space.parameters:
        return Search((line.fixed,), 1, exact=True)
    node = OmegaConf.to_container(config.sampler, resolve=True) if config.sampler else None
    if choose(_mapping(node), space)["_target_"] == GRID:
        points = [(*line.fixed, *space.overrides(point)) for point in space.points()]
        wanted = points[: sweeper.n_trials or len(points)]
        return Search(tuple(wanted), len(wanted), exact=True)
    first = {parameter.name: _any_value(parameter) for parameter in space.parameters}
    return Search(((*line.fixed, *space.overrides(first)),), sweeper.n_trials or 20, exact=False)


def _mapping(node: Any) -> dict[str, Any] | None:
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else None


def _any_value(parameter: Any) -> Any:
    return parameter.choices[0].value if parameter.choices else parameter.distribution.low


def count(
    search: Search,
    nodes: Callable[[tuple[str, ...]], Iterable[NodeKey]],
    stored: Callable[[str], bool],
) -> Forecast:
    """Count what a search would run.

    Args:
        search: The search.
        nodes: Returns the stages of a point, in order.
        stored: Returns whether a signature is in the store.
    """
    executions: dict[str, int] = {}
    known: set[str] = set()
    total = 0
    for point in search.points:
        repeat = 1 if search.exact else search.trials
        for kind, signature in nodes(point):
            total += repeat
            if search.exact and (signature in known or stored(signature)):
                continue
            known.add(signature)
            executions[kind] = executions.get(kind, 0) + repeat
    return Forecast(search.trials, search.exact, executions, total - sum(executions.values()))
