"""Bounds on metrics: who breaks one is infeasible, and samplers are told by how far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stagetree.core.errors import ConfigError, TrialFailed, unknown
from stagetree.pipeline.objective import bound_faults

Bounds = Mapping[str, Mapping[str, float | None]]
"""``min`` and ``max`` by metric."""


def read(node: Any) -> dict[str, dict[str, float | None]]:
    """Return the bounds of ``hydra.sweeper.constraints``.

    Raises:
        ConfigError: One is not a mapping with ``min``, ``max`` or both.
    """
    bounds = {str(name): bound for name, bound in (node or {}).items()}
    faults = [
        fault
        for name, bound in bounds.items()
        for fault in bound_faults(f"hydra.sweeper.constraints.{name}", bound)
    ]
    if faults:
        raise ConfigError(faults)
    return {name: dict(bound) for name, bound in bounds.items()}


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
