"""Learning curves of a study's trials, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import TrialState

from stagetree.core.curves import StageCurve
from stagetree.search.notes import COPY_OF, notes_of
from stagetree.search.results import state_of
from stagetree.search.stage_pruner import STAGE_STEPS, identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study
    from optuna.trial import FrozenTrial


def curves(study: Study) -> list[StageCurve]:
    """Return what every trial reported in each of its stages, by trial and stage.

    Trials that took over another one's outcome have no curves of their own. Studies with several
    objectives have none at all, as their trials report to nobody.
    """
    trials = study.get_trials(deepcopy=False)
    return [curve for trial in trials for curve in curves_of(trial)]


def curves_of(trial: FrozenTrial) -> list[StageCurve]:
    """Return what a trial reported in each of its stages, in their order."""
    notes = notes_of(trial)
    if COPY_OF in notes:
        return []
    reports: dict[int, list[tuple[float, float]]] = {}
    for step, value in sorted(trial.intermediate_values.items()):
        index = (step - 1) // STAGE_STEPS
        reports.setdefault(index, []).append(((step - index * STAGE_STEPS) / STAGE_STEPS, value))
    finished = [str(stage["name"]) for stage in notes.get("stages", ())]
    found: list[StageCurve] = []
    for index, points in reports.items():
        name, signature = identity(trial, index)
        last = index == max(reports)
        state = _state(trial, str(name), finished, points) if last else "complete"
        found.append(StageCurve(trial.number, str(name), index, str(signature), state, points))
    return found


def _state(
    trial: FrozenTrial,
    stage: str,
    finished: Sequence[str],
    points: Sequence[tuple[float, float]],
) -> str:
    """Return how a trial left the last stage it reported in."""
    state = state_of(trial)
    pruned_here = trial.state == TrialState.PRUNED and state == "pruned"
    if pruned_here and notes_of(trial).get("pruned_in", stage) == stage:
        return "pruned"
    if stage in finished or points[-1][0] >= 1.0 or state == "complete":
        return "complete"
    return state if state in ("pruned", "failed", "running") else "failed"
