"""Reading a search line: what varies, who samples, how many trials, which question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import Container, OmegaConf

from stagetree.core.errors import ConfigError, Fault
from stagetree.search import (
    branches,
    constraints,
    custom,
    overrides,
    question,
    samplers,
    when,
    zipping,
)
from stagetree.search.firsts import first_points
from stagetree.search.space import Space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stagetree.search.attempt import App
    from stagetree.search.study import Fingerprint

DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class Reading:
    """A search line, understood; nothing was touched or started.

    Attributes:
        space: What varies.
        fixed: Overrides that every trial shares.
        sampler: The sampler's configuration, one chosen where none was named.
        pruner: The pruner's configuration.
        directions: One an objective.
        metrics: The objectives among the reported metrics; empty: the only reported one.
        constraints: Bounds on metrics.
        total: How many trials the study shall have.
        first: Points to run before the sampler is asked.
        question: What makes it this search and no other.
    """

    space: Space
    fixed: tuple[str, ...]
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any] | None
    directions: tuple[str, ...]
    metrics: tuple[str, ...]
    constraints: constraints.Bounds
    total: int
    first: tuple[Mapping[str, Any], ...]
    question: Fingerprint

    @property
    def is_grid(self) -> bool:
        """Whether every trial's point is known beforehand."""
        return bool(self.sampler["_target_"] == samplers.GRID)


def read(app: App, options: Mapping[str, Any], arguments: Sequence[str]) -> Reading:
    """Read a search line.

    Args:
        app: The app; its configuration is the line's own, sweeps left out.
        options: Options of the sweeper, see ``StagetreeSweeperConf``.
        arguments: Overrides of the command line, those that sweep among them.

    Raises:
        ConfigError: The line cannot be understood.
    """
    params, whens = when.take_apart(plain(options["params"]) or {})
    line = overrides.split(arguments, params, app.context.config_loader)
    line = branches.unfixed(app, line)
    space = _space(app, line, options, whens, arguments)
    sampler = samplers.choose(plain(options["sampler"]), space)
    pruner = plain(options["pruner"])
    samplers.build_pruner(pruner)
    directions = question.directions(options["direction"])
    metrics = question.metrics(options["metric"], directions)
    _refuse_pruning(pruner, directions)
    bounds = constraints.read(plain(options["constraints"]))
    return Reading(
        space=space,
        fixed=line.fixed,
        sampler=sampler,
        pruner=pruner,
        directions=directions,
        metrics=metrics,
        constraints=bounds,
        total=_total(options["n_trials"], space, sampler),
        first=_first(options, space, app, sampler),
        question=question.fingerprint(
            app.config, space, directions, metrics, bounds, options["ignore"]
        ),
    )


def _space(
    app: App,
    line: overrides.Line,
    options: Mapping[str, Any],
    whens: Mapping[str, Any],
    arguments: Sequence[str],
) -> Space:
    """Return what varies, when it exists, what moves together, and what a function adds."""
    found = overrides.parameters(line.sweeps, app.config, options["seed"])
    values = {
        parameter.name: [choice.value for choice in overrides.listed(override)]
        for parameter, override in zip(found, line.sweeps, strict=True)
        if parameter.choices
    }
    given = [text.split("=")[0].lstrip("+~") for text in arguments]
    parameters = branches.automatic(app, line.fixed, when.stated(found, whens, app.config, given))
    return Space(
        tuple(parameters),
        zipping.read(plain(options["zip"]), values, parameters),
        custom.read(options["custom_search_space"], app.config),
    )


def _refuse_pruning(pruner: Mapping[str, Any] | None, directions: Sequence[str]) -> None:
    """Refuse to prune in a search for a front.

    Raises:
        ConfigError: A pruner was chosen for several objectives.
    """
    if len(directions) > 1 and pruner and pruner.get("_target_"):
        message = (
            "expected no pruner for several objectives but got "
            f"{pruner['_target_'].rsplit('.', 1)[-1]}: no trial can be said to be worse half way. "
            "Say pruner=none, or search one objective with constraints on the others."
        )
        raise ConfigError([Fault("hydra.sweeper.pruner", message)])


def _first(
    options: Mapping[str, Any], space: Space, app: App, sampler: Mapping[str, Any]
) -> tuple[Mapping[str, Any], ...]:
    wanted = options["defaults_first"]
    defaults_first = sampler["_target_"] != samplers.GRID if wanted is None else bool(wanted)
    enqueued = plain(options["enqueue"]) or []
    return first_points(space, app.config, enqueued, defaults_first=defaults_first)


def plain(node: Any) -> Any:
    """Return a part of a configuration as plain data."""
    return OmegaConf.to_container(node, resolve=True) if isinstance(node, Container) else node


def _total(wanted: int | None, space: Space, sampler: Mapping[str, Any]) -> int:
    if wanted is not None and wanted < 1:
        message = f"expected at least 1 trial but got {wanted}"
        raise ConfigError([Fault("hydra.sweeper.n_trials", message)])
    if sampler["_target_"] == samplers.GRID:
        return space.size if wanted is None else min(wanted, space.size)
    return DEFAULT_TRIALS if wanted is None else wanted
