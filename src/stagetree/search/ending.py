"""How a trial ends: what is noted of it and told to the study."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from stagetree.core.errors import TrialFailed
from stagetree.search import constraints, infeasible
from stagetree.search.notes import (
    COPY_OF,
    CRASHED,
    ENDED,
    ERROR,
    FAILED,
    INFEASIBLE,
    NOTES,
    notes_of,
)
from stagetree.search.notes import ended as how_ended

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from stagetree.search.attempt import Outcome
    from stagetree.search.places import Claim
    from stagetree.search.plan import SearchPlan
    from stagetree.search.reporter import TrialReporter

_TOLD = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    INFEASIBLE: TrialState.PRUNED,  # samplers learn from it, as they do not from a failed one
    FAILED: TrialState.FAIL,
    CRASHED: TrialState.FAIL,
}


def tell(
    study: Study,
    plan: SearchPlan,
    claim: Claim,
    outcome: Outcome,
    reporter: TrialReporter,
    seconds: float,
) -> FrozenTrial:
    """Tell the study how a trial ended and return the trial as it is now.

    Args:
        study: The study.
        plan: The search.
        claim: Our hold on the trial.
        outcome: How it ended; ``lost`` is not for telling.
        reporter: What its stages reported.
        seconds: What it took.
    """
    outcome, bounds = _checked(plan, outcome, reporter)
    overrides = plan.space.overrides(claim.params)
    notes: dict[str, Any] = {
        ENDED: outcome.state,
        "seconds": round(seconds, 3),
        "devices": plan.budget.devices,
        "command": f"{plan.command} {shlex.join(overrides)}",
    }
    if outcome.directory:
        notes["directory"] = outcome.directory
    if reporter.stages:
        notes["stages"] = reporter.record()
    if outcome.state == "pruned":
        notes["pruned_in"] = reporter.pruned_in or "main"
    if outcome.error:
        notes[ERROR] = outcome.error
        notes["traceback"] = outcome.trace
    claim.trial.set_user_attr(NOTES, notes)
    for name, violation in bounds.items():
        claim.trial.set_constraint(name, violation)
    if outcome.state == INFEASIBLE:
        claim.trial.set_constraint(infeasible.CONSTRAINT, 1.0)
    values = list(outcome.values) if outcome.state == "complete" else None
    return study.tell(claim.trial, values, state=_TOLD[outcome.state])


def _checked(
    plan: SearchPlan, outcome: Outcome, reporter: TrialReporter
) -> tuple[Outcome, dict[str, float]]:
    """Return an outcome and how far it is beyond each bound; failed when that cannot be said."""
    if outcome.state != "complete" or not plan.constraints:
        return outcome, {}
    try:
        return outcome, constraints.violations(
            plan.constraints, {**reporter.metrics(), **outcome.metrics}
        )
    except TrialFailed as error:
        return dataclasses.replace(outcome, state=FAILED, error=str(error)), {}


def copy(study: Study, claim: Claim, twin: FrozenTrial) -> FrozenTrial:
    """End a trial as another one with the same parameters ended, and return it."""
    noted = notes_of(twin)
    stages = [{**stage, "reused": True} for stage in noted.get("stages", ())]
    kept = {key: noted[key] for key in ("command", "pruned_in", ERROR, "traceback") if key in noted}
    notes = {ENDED: how_ended(twin), "seconds": 0.0, COPY_OF: twin.number, "stages": stages, **kept}
    claim.trial.set_user_attr(NOTES, notes)
    for name, violation in twin.constraints.items():
        claim.trial.set_constraint(name, violation)
    if twin.state == TrialState.PRUNED and twin.last_step is not None:
        claim.trial.report(twin.intermediate_values[twin.last_step], twin.last_step)
    values = twin.values if twin.state == TrialState.COMPLETE else None
    return study.tell(claim.trial, values, state=twin.state)
