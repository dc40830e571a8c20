"""What a run returns, as a configuration says it: one metric or several, and bounds on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import ConfigError, Fault, TrialFailed, unknown
from stagetree.core.trials import StageRow

DIRECTIONS = ("maximize", "minimize")

SECONDS = "seconds"
"""Metric of a whole pipeline: what its stages took, whenever they were computed."""


@dataclass(frozen=True)
class Objective:
    """What a run returns.

    Attributes:
        metrics: Names of metrics of the last stage, or ``seconds``.
        directions: ``maximize`` or ``minimize``, one a metric.
    """

    metrics: tuple[str, ...]
    directions: tuple[str, ...]

    @property
    def name(self) -> str:
        """The metric that is shown first."""
        return self.metrics[0]

    def values(self, stages: Sequence[StageRow]) -> tuple[float, ...]:
        """Return the objective of finished stages.

        Raises:
            ConfigError: The last stage has no such metric.
            TrialFailed: A value is not a finite number.
        """
        known = {**stages[-1].metrics, SECONDS: sum(stage.seconds for stage in stages)}
        faults = [
            Fault("objective.metric", unknown(f"metric of stage {stages[-1].name!r}", name, known))
            for name in self.metrics
            if name not in known
        ]
        if faults:
            raise ConfigError(faults)
        for name in self.metrics:
            if not math.isfinite(known[name]):
                message = f"the objective {name} of stage {stages[-1].name!r} is {known[name]}"
                raise TrialFailed(message)
        return tuple(known[name] for name in self.metrics)


def read(node: DictConfig, faults: list[Fault]) -> Objective:
    """Return the objective of a configuration, noting what is wrong with it."""
    try:
        plain: Any = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        faults.append(Fault("objective", str(error).splitlines()[0]))
        return Objective(("",), ("",))
    metrics, directions = _listed(plain["metric"]), _listed(plain["direction"])
    faults += [
        Fault("objective.direction", unknown("direction", name, DIRECTIONS))
        for name in directions
        if name not in DIRECTIONS
    ]
    if len(metrics) != len(directions):
        message = (
            f"expected a direction for each of {', '.join(metrics)} but got {', '.join(directions)}"
        )
        faults.append(Fault("objective.direction", message))
    if len(set(metrics)) < len(metrics):
        message = f"expected different metrics but got {', '.join(metrics)}"
        faults.append(Fault("objective.metric", message))
    for name, bound in plain["constraints"].items():
        faults += bound_faults(f"objective.constraints.{name}", bound)
    return Objective(metrics, directions)


def bound_faults(path: str, bound: Any) -> list[Fault]:
    """Return what is wrong with a bound on a metric.

    Args:
        path: Where the configuration has it.
        bound: To be ``min``, ``max`` or both, each a finite number or ``None``.
    """
    if not isinstance(bound, Mapping) or not bound:
        return [Fault(path, f"expected min, max or both, e.g. {path}.max=5, but got {bound!r}")]
    faults = [
        Fault(f"{path}.{end}", unknown("bound", str(end), ("min", "max")))
        for end in bound
        if end not in ("min", "max")
    ]
    numbers = {end: value for end, value in bound.items() if value is not None}
    faults += [
        Fault(f"{path}.{end}", f"expected a finite number but got {value!r}")
        for end, value in numbers.items()
        if not _finite(value)
    ]
    if not faults and not numbers:
        return [Fault(path, "expected min, max or both but got null for each")]
    if not faults and len(numbers) == 2 and numbers["min"] > numbers["max"]:
        message = f"expected min of at most max but got {numbers['min']} and {numbers['max']}"
        return [Fault(path, message)]
    return faults


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)
