"""The stages of a trial by what they depend on, and which of them it has paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stagetree.pipeline.seeds import plain
from stagetree.search.notes import stages_done
from stagetree.search.space import point_text
from stagetree.search.stage_pruner import stages_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.trial import FrozenTrial

    from stagetree.search.dependence import Dependence

Step = tuple[str, tuple[tuple[str, str], ...]]
"""A stage's name and the values that its result depends on: equal where it is shared."""


class Steps:
    """Tells the stages of points and trials; what has ended is looked at once.

    Args:
        dependence: Which parameters each stage depends on.
    """

    def __init__(self, dependence: Dependence) -> None:
        self._names = tuple((stage, tuple(sorted(names))) for stage, names in dependence.items())
        self._paths: dict[str, tuple[Step, ...]] = {}
        self._settled: dict[int, frozenset[Step]] = {}

    def path(self, params: Mapping[str, Any]) -> tuple[Step, ...]:
        """Return the stages of a point, in order."""
        key = point_text(params)
        if key not in self._paths:
            shown = {name: repr(value) for name, value in params.items()}
            self._paths[key] = tuple(
                (stage, tuple((name, shown.get(name, "")) for name in names))
                for stage, names in self._names
            )
        return self._paths[key]

    def paid_by(self, trial: FrozenTrial) -> frozenset[Step]:
        """Return the stages that an ended trial finished or found finished."""
        if trial.number not in self._settled:
            done = names_done(trial)
            path = self.path(trial.params)
            self._settled[trial.number] = frozenset(step for step in path if step[0] in done)
        return self._settled[trial.number]

    def passed(self, trial: FrozenTrial) -> set[Step]:
        """Return the stages that a running trial has certainly left: it reported a later one."""
        names = [stage for stage, _ in self._names]
        reported = [plain(name) for name, _ in stages_of(trial)]
        last = max((names.index(name) for name in reported if name in names), default=0)
        return {step for step in self.path(trial.params)[:last] if step[0] in reported}


def stage_of(row: Mapping[str, Any]) -> str:
    """Return a finished stage's name in the configuration; of several seeds all have one."""
    return plain(str(row["name"]))


def names_done(trial: FrozenTrial) -> set[str]:
    """Return the names of the stages that a trial finished or found finished."""
    return {stage_of(row) for row in stages_done(trial)}
