"""Pruning over the whole pipeline: successive halving whose rungs lie on the pipeline's cost."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from stagetree.search.rungs import Rung, resources, rungs
from stagetree.search.stage_pruner import STAGE_STEPS, described, identity, index_of, step_of
from stagetree.search.stage_shares import spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optuna import Study
    from optuna.trial import FrozenTrial

PIPELINE_STEPS = 10_000
"""Steps of a whole pipeline: one for each hundredth of a percent of its expected cost."""


class AcrossStagesPruner(BasePruner):
    """Lets only the best of each rung go on, where rungs lie on the cost of the whole pipeline.

    Asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934) with the
    expected share of the pipeline's cost as its resource: a trial is judged after a cheap first
    stage, and only the best ``1 / reduction_factor`` pay for the costly ones. Where the rungs lie
    follows from what the first complete trials of the same pipeline took, stage by stage; see
    :func:`~stagetree.search.rungs.rungs`. Before one has completed nothing is judged.

    At a rung the score at that moment of that stage is compared, so different metrics never mix.
    Trials that share the stage's result (the same signature) are one piece of evidence, and so
    are those that were pruned there. Everything is read from the trials' reports, so judging a
    trial again, by another worker or after a restart, needs no memory of the first time.

    Optuna's own pruner is not wrapped for this: it keeps a trial's scores by the number of the
    rung, and a rung moves when the costs become known.

    Args:
        min_resource: The first rung, in hundredths of a percent of the pipeline's cost.
        reduction_factor: Each rung lies this many times further than the one before it, and one
            of this many trials goes on.
        min_early_stopping_rate: So many rungs are left out at the beginning.
        bootstrap_count: With up to so many different results at a rung, all of them go on.
        keep: The best so many at a rung go on, even where they are more than their share.
        n_warmup_steps: The first so many hundredths of a percent of a stage are not judged: a rung
            there lies at the end of the stage before. 10,000 judges at the ends of stages only.
        brackets: Ladders side by side, each beginning a rung later than the one before it; more
            than one makes it Hyperband (Li et al. 2018, https://arxiv.org/abs/1603.06560). A
            trial is compared within its own.
        costs: What stages cost, by name, in any unit; ``None``: what they were seen to take.

    Raises:
        ValueError: An option is out of its range.
    """

    def __init__(
        self,
        min_resource: int = 1000,
        reduction_factor: int = 2,
        min_early_stopping_rate: int = 0,
        bootstrap_count: int = 4,
        keep: int = 2,
        n_warmup_steps: int = STAGE_STEPS,
        brackets: int = 1,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        _check("min_resource", min_resource, 1, PIPELINE_STEPS - 1)
        _check("reduction_factor", reduction_factor, 2)
        _check("min_early_stopping_rate", min_early_stopping_rate, 0)
        _check("bootstrap_count", bootstrap_count, 0)
        _check("keep", keep, 1)
        _check("n_warmup_steps", n_warmup_steps, 0, STAGE_STEPS)
        _check("brackets", brackets, 1)
        self._factor = reduction_factor
        self._bootstrap = bootstrap_count
        self._keep = keep
        self._warm_up = n_warmup_steps / STAGE_STEPS
        self._costs = None if costs is None else _costs(costs)
        self._ladders = [
            resources(min_resource / PIPELINE_STEPS, reduction_factor, skipped)
            for skipped in range(min_early_stopping_rate, min_early_stopping_rate + brackets)
        ]
        self._weights = [
            math.ceil(brackets * reduction_factor**left / (left + 1))
            for left in reversed(range(brackets))
        ]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` should stop, judged at its last reported step."""
        step = trial.last_step
        if step is None:
            return False
        trials = study.get_trials(deepcopy=False)
        bracket = self._bracket(study, trial)
        ladder = rungs(spans(trials, trial, self._costs), self._ladders[bracket], self._warm_up)
        reached = [rung for rung in ladder if _reached(trial, step, rung)]
        if not reached:
            return False
        others = [
            other
            for other in trials
            if other.number != trial.number and self._bracket(study, other) == bracket
        ]
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        value = sign * trial.intermediate_values[step]
        return not all(
            self._goes_on(value, [sign * peer for peer in _peers(others, trial, rung)])
            for rung in reached
        )

    def _bracket(self, study: Study, trial: FrozenTrial) -> int:
        """Return which ladder a trial stands on: always the same one, whoever asks."""
        if len(self._weights) == 1:
            return 0
        text = f"{study.study_name}_{trial.number}"
        place = zlib.crc32(text.encode()) % sum(self._weights)
        for bracket, weight in enumerate(self._weights):
            place -= weight
            if place < 0:
                return bracket
        raise AssertionError(text)

    def _goes_on(self, value: float, peers: Sequence[float]) -> bool:
        count = len(peers) + 1
        better = sum(peer > value for peer in peers)
        return count <= self._bootstrap or better < max(self._keep, count // self._factor)


def value_at(trial: FrozenTrial, index: int, fraction: float) -> float | None:
    """Return what a trial reported first at ``fraction`` of a stage or later in it.

    A stage that was finished earlier by itself counts by its last report. ``None``: the trial did
    not get there.
    """
    low, goal, high = step_of(index, 0), step_of(index, fraction), step_of(index, 1.0)
    own = sorted(step for step in trial.intermediate_values if low <= step <= high)
    if not own:
        return None
    first = next((step for step in own if step >= goal), None)
    if first is not None:
        return trial.intermediate_values[first]
    over = trial.state == TrialState.COMPLETE or max(trial.intermediate_values) > high
    return trial.intermediate_values[own[-1]] if over else None


def _reached(trial: FrozenTrial, step: int, rung: Rung) -> bool:
    """Return whether the report at ``step`` is a trial's first at a rung."""
    goal, high = step_of(rung.index, rung.fraction), step_of(rung.index, 1.0)
    if not goal <= step <= high:
        return False
    return not any(goal <= earlier < step for earlier in trial.intermediate_values)


def _peers(others: Iterable[FrozenTrial], trial: FrozenTrial, rung: Rung) -> list[float]:
    """Return what each other result of the stage scored at a rung."""
    name, signature = identity(trial, rung.index)
    found: dict[str, float] = {}
    for other in others:
        index = _place(other, name, rung.index)
        if index is None:
            continue
        theirs = identity(other, index)[1]
        if theirs and theirs == signature:
            continue
        value = value_at(other, index, rung.fraction)
        if value is not None:
            found.setdefault(theirs or f"#{other.number}", value)
    return list(found.values())


def _place(trial: FrozenTrial, name: str, index: int) -> int | None:
    """Return the place of the stage called ``name``; one that nobody described has its own."""
    found = index_of(trial, name)
    if found is None and name == f"#{index}" and index not in described(trial):
        return index
    return found


def _check(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"expected {name} of {wanted} but got {value}")


def _costs(costs: Mapping[str, float]) -> dict[str, float]:
    plain = {str(name): float(cost) for name, cost in costs.items()}
    if not plain or min(plain.values()) < 0 or sum(plain.values()) <= 0:
        raise ValueError(
            f"expected costs of at least 0, one of them above it, but got {plain}; "
            "say e.g. {finetune: 1, distill: 4}, or null for what they take"
        )
    return plain
