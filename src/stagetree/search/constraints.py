"""Bounds on metrics: who breaks one is infeasible, and samplers are told by how far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stagetree.core.errors import ConfigError, Fault, TrialFailed, unknown

Bounds = Mapping[str, Mapping[str, float | None]]
"""``min`` and ``max`` by metric."""


def read(node: Any) -> dict[str, dict[str, float | None]]:
    """Return the bounds of ``hydra.sweeper.constraints``.

    Raises:
        ConfigError: One is not a mapping with ``min``, ``max`` or both.
    """
    path, faults = "hydra.sweeper.constraints", []
    for name, bound in (node or {}).items():
        ends = bound if isinstance(bound, Mapping) else {}
        numbers = [value for value in ends.values() if value is not None]
        known = set(ends) <= {"min", "max"}
        if not known or not numbers or not all(isinstance(value, int | float) for value in numbers):
            message = f"expected min, max or both with a number but got {bound!r}"
            faults.append(Fault(f"{path}.{name}", message))
    if faults:
        raise ConfigError(faults)
    return {str(name): dict(bound) for name, bound in (node or {}).items()}


def describe(bounds: Bounds) -> dict[str, str]:
    """Return the bounds as text a metric.

    >>> describe({"bytes": {"min": None, "max": 2e7}})
    {'bytes': '<= 20000000.0'}
    """
    return {
        name: ", ".join(
            f"{sign} {bound[end]}"
            for end, sign in (("min", ">="), ("max", "<="))
            if bound.get(end) is not None
        )
        for name, bound in bounds.items()
    }


def violations(bounds: Bounds, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each bound is broken, as a share of the bound; at most 0 where it holds.

    >>> violations({"bytes": {"max": 20.0}}, {"bytes": 25.0})
    {'bytes': 0.25}

    Raises:
        TrialFailed: A metric is missing or not a finite number.
    """
    found: dict[str, float] = {}
    for name, bound in bounds.items():
        if name not in metrics:
            raise TrialFailed(f"cannot check a constraint: {unknown('metric', name, metrics)}")
        value = float(metrics[name])
        if not math.isfinite(value):
            raise TrialFailed(f"cannot check the constraint on {name}: it is {value}")
        beyond = [
            (sign * (value - end)) / (abs(end) or 1.0)
            for end, sign in ((bound.get("min"), -1), (bound.get("max"), 1))
            if end is not None
        ]
        found[name] = max(beyond)
    return found
