"""What a study keeps of a trial beside its parameters and values, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTES = "notes"
"""User attribute with everything noted at a trial's end: one attribute, so one write."""

CRASHES = "crashes"
DEATHS = "deaths"
INTERRUPTED = "interrupted"
IMPORTED = "imported_from"
ENDED = "ended"
ERROR = "error"
COPY_OF = "copy_of"

INFEASIBLE = "infeasible"
REJECTED = "rejected"
CRASHED = "crashed"
FAILED = "failed"

_FINAL = frozenset({FAILED, INFEASIBLE, CRASHED})


def notes_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return everything noted on a trial."""
    return {**trial.user_attrs, **trial.user_attrs.get(NOTES, {})}


def stages_done(trial: FrozenTrial) -> Sequence[Mapping[str, Any]]:
    """Return what a trial noted of its finished stages: name, signature, seconds and more."""
    stages: Sequence[Mapping[str, Any]] = notes_of(trial).get("stages", ())
    return stages


def ended(trial: FrozenTrial) -> str:
    """Return how a trial ended, finer than Optuna's state; empty while it has not.

    ``complete``, ``pruned``, ``failed`` (for good), ``crashed`` (too often), ``infeasible``
    (does not fit in memory) or ``rejected`` (never run).
    """
    if not trial.state.is_finished():
        return ""
    noted = trial.user_attrs.get(NOTES, {}).get(ENDED)
    if noted:
        return str(noted)
    return FAILED if trial.state == TrialState.FAIL else trial.state.name.lower()


def is_imported(trial: FrozenTrial) -> bool:
    """Return whether a trial was run by an earlier version of its study."""
    return IMPORTED in trial.user_attrs


def counts(trial: FrozenTrial) -> bool:
    """Return whether a trial takes one of the study's places."""
    waiting = trial.state == TrialState.WAITING
    return not waiting and not is_imported(trial) and ended(trial) != REJECTED


def failed(trial: FrozenTrial) -> bool:
    """Return whether a trial counts as one of the study's failures."""
    return ended(trial) in _FINAL


def crashed(trials: Sequence[FrozenTrial]) -> frozenset[int]:
    """Return the numbers of the trials that crashed too often, run again later or not."""
    return frozenset(trial.number for trial in trials if ended(trial) == CRASHED)
