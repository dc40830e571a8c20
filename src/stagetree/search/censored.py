"""What a trial that was pruned would have scored: no value, but not nothing either."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from stagetree.search.across_pruner import value_at
from stagetree.search.notes import COPY_OF, notes_of
from stagetree.search.stage_pruner import STAGE_STEPS, identity, index_of, step_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Observed:
    """What a study knows of a trial's value.

    Attributes:
        value: The value it counts with.
        exact: Whether it was measured; else the trial was pruned and this is what it was heading
            for, at best the middle of what others reached.
    """

    value: float
    exact: bool


def observed(
    trial: FrozenTrial, trials: Sequence[FrozenTrial], *, maximize: bool
) -> Observed | None:
    """Return the value that a trial counts with; ``None`` when it has reported nothing.

    A complete trial counts with its value. Scores of different stages, and of different moments
    of one, cannot be compared, so a pruned one counts with its last report and what complete
    trials gained from that moment of that stage to their end: the median over different results
    of the stage. It is never counted better than the median complete trial, for at the end of its
    way its peers did better. Where no complete trial passed that moment nothing is added.

    This is what a sampler that models values can use. Optuna's own TPE does without: it ranks
    pruned trials after all complete ones, those that got further first.

    Args:
        trial: The trial, complete or pruned.
        trials: The study's trials, by number.
        maximize: Whether larger values are better.
    """
    if trial.state == TrialState.COMPLETE:
        return Observed(float(trial.values[0]), exact=True)
    source = _source(trial, trials)
    if trial.state != TrialState.PRUNED or source.last_step is None:
        return None
    complete = [other for other in trials if other.state == TrialState.COMPLETE]
    value = source.intermediate_values[source.last_step] + _gain(source, complete)
    if complete:
        middle = median(float(other.values[0]) for other in complete)
        value = min(value, middle) if maximize else max(value, middle)
    return Observed(value, exact=False)


def _source(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the trial whose outcome was taken over, if one's was; a copy has no stages."""
    number = notes_of(trial).get(COPY_OF)
    return next((other for other in trials if other.number == number), trial)


def _gain(trial: FrozenTrial, complete: Sequence[FrozenTrial]) -> float:
    """Return what complete trials gained from where a trial ended; 0 when none was there."""
    step = trial.last_step or 1
    index = (step - 1) // STAGE_STEPS
    fraction = (step - step_of(index, 0) + 1) / STAGE_STEPS
    name, _ = identity(trial, index)
    gains: dict[str, list[float]] = {}
    for other in complete:
        place = index_of(other, name)
        value = None if place is None else value_at(other, place, fraction)
        if place is not None and value is not None:
            key = identity(other, place)[1] or f"#{other.number}"
            gains.setdefault(key, []).append(float(other.values[0]) - value)
    return median(map(fmean, gains.values())) if gains else 0.0
