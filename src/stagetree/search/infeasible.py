"""Points that cannot run for lack of memory, and points like them that are not tried again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from optuna.distributions import FloatDistribution

from stagetree.core.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

CONSTRAINT = "memory"
"""Name of the constraint that an infeasible trial violates, so that samplers learn from it."""

MAX_TRIES = 3
"""How many trials of one region may run out of memory before the region is given up."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any app says that memory was too small; torch stays unimported."""
    if isinstance(error, OutOfMemory | MemoryError):
        return True
    if "torch" not in sys.modules:
        return False
    from stagetree.training.memory import out_of_memory

    return out_of_memory(error)


def reason(
    infeasible: Sequence[FrozenTrial],
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
) -> str:
    """Return why a point is not worth running, or an empty string.

    A region is one combination of all discrete parameters (batch size, model, stages ...): what
    decides over memory is discrete. Without discrete parameters there are no regions.

    Args:
        infeasible: The study's trials that did not fit in memory.
        params: The point.
        distributions: The space; the point's own parameters of it are what counts.
    """
    region = _region(params, distributions)
    if not region:
        return ""
    known = [trial for trial in infeasible if _region(trial.params, trial.distributions) == region]
    if len(known) < MAX_TRIES:
        return ""
    shown = ", ".join(f"{name}={value}" for name, value in region.items())
    return f"{len(known)} trials with {shown} ran out of memory"


def _region(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    return {
        name: value
        for name, value in params.items()
        if not isinstance(distributions.get(name), FloatDistribution | None)
    }
