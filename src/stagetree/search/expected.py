"""What a trial will take: its stages that are not paid for, learnt from the study's trials."""

from __future__ import annotations

import importlib
import math
import statistics
from typing import TYPE_CHECKING, Any

from stagetree.pipeline.regression import LogRegression
from stagetree.search.notes import COPY_OF, notes_of, stages_done
from stagetree.search.steps import Steps, stage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

    from stagetree.search.dependence import Dependence

QUARTILE = 0.6745
"""So many standard deviations above the mean three of four outcomes lie below."""


class Expected:
    """Tells beforehand what three of four trials like one need at most.

    Args:
        dependence: Which parameters each stage depends on.
    """

    def __init__(self, dependence: Dependence) -> None:
        importlib.import_module("sklearn.linear_model")  # now: later other workers would wait
        self._steps = Steps(dependence)

    def seconds(self, params: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> float | None:
        """Return the seconds of a trial; ``None`` if one of its stages was never computed.

        Args:
            params: The trial's parameters.
            trials: The trials of the study.
        """
        ended = [trial for trial in trials if trial.state.is_finished()]
        paid = {step for trial in ended for step in self._steps.paid_by(trial)}
        missing = [step[0] for step in self._steps.path(params) if step not in paid]
        needed = [_stage_seconds(stage, params, ended) for stage in missing]
        known = [seconds for seconds in needed if seconds is not None]
        if len(known) < len(needed) or not ended:
            return None
        return sum(known) + _beside(ended)


def _stage_seconds(
    stage: str, params: Mapping[str, Any], ended: Sequence[FrozenTrial]
) -> float | None:
    """Return what computing a stage takes, learnt from the trials that computed it."""
    taken = [(trial.params, _computing(trial, stage)) for trial in ended]
    known = [(point, seconds) for point, seconds in taken if seconds > 0]
    if not known:
        return None
    model = LogRegression().fit([point for point, _ in known], [seconds for _, seconds in known])
    [mean], [deviation] = model.predict([params])
    return float(mean) * math.exp(QUARTILE * float(deviation))


def _computing(trial: FrozenTrial, stage: str | None = None) -> float:
    """Return the seconds for which a trial computed a stage, or all, itself."""
    rows = stages_done(trial)
    own = [row for row in rows if not row["reused"] and stage in (None, stage_of(row))]
    return sum(float(row["seconds"]) for row in own)


def _beside(ended: Sequence[FrozenTrial]) -> float:
    """Return what a trial takes beside computing its stages."""
    beside = [
        float(notes.get("seconds", 0.0)) - _computing(trial)
        for trial in ended
        if COPY_OF not in (notes := notes_of(trial))
    ]
    return max(0.0, statistics.median(beside)) if beside else 0.0
