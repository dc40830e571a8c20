"""Counting a study's trials without looking at each of them again and again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagetree.search.notes import FAILED, INFEASIBLE, counts, ended, failed
from stagetree.search.space import point_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_REPEATABLE = frozenset({"complete", "pruned", FAILED})


@dataclass(frozen=True)
class Count:
    """What there is in a study.

    Attributes:
        taken: Places taken, by trials that run or have ended.
        done: Places whose trials have ended.
        failures: Trials that failed.
    """

    taken: int = 0
    done: int = 0
    failures: int = 0


class Tally:
    """Counts a study's trials; those that have ended are looked at once, as they never change.

    Args:
        forgiven: Numbers of failed trials that count as if they had never been.
    """

    def __init__(self, forgiven: Collection[int] = ()) -> None:
        self._forgiven = frozenset(forgiven)
        self._settled = Count()
        self._known = 0
        self._twins: dict[str, FrozenTrial] = {}
        self._infeasible: list[FrozenTrial] = []

    def count(self, trials: Sequence[FrozenTrial]) -> Count:
        """Return the counts over all trials of the study, given by number."""
        self._settle(trials)
        total = self._settled
        for trial in trials[self._known :]:
            total = self._with(total, trial)
        return total

    def unsettled(self, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
        """Return the trials from the first one on that has not ended."""
        self._settle(trials)
        return trials[self._known :]

    def twin(self, params: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the first ended trial with the same parameters, unless it merely crashed."""
        key = point_text(params)
        found = self._twins.get(key) if self._settle(trials) else None
        if found is not None:
            return found
        for trial in trials[self._known :]:
            if ended(trial) in _REPEATABLE and point_text(trial.params) == key:
                return trial
        return None

    def infeasible(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that did not fit in memory."""
        self._settle(trials)
        late = [trial for trial in trials[self._known :] if ended(trial) == INFEASIBLE]
        return [*self._infeasible, *late]

    def _settle(self, trials: Sequence[FrozenTrial]) -> int:
        """Take in the trials up to the first one that has not ended; return how many those are."""
        while self._known < len(trials) and trials[self._known].state.is_finished():
            trial = trials[self._known]
            self._settled = self._with(self._settled, trial)
            if ended(trial) in _REPEATABLE:
                self._twins.setdefault(point_text(trial.params), trial)
            elif ended(trial) == INFEASIBLE:
                self._infeasible.append(trial)
            self._known += 1
        return self._known

    def _with(self, count: Count, trial: FrozenTrial) -> Count:
        forgiven = trial.number in self._forgiven
        place = counts(trial) and not forgiven
        return Count(
            count.taken + place,
            count.done + (place and trial.state.is_finished()),
            count.failures + (failed(trial) and not forgiven),
        )
