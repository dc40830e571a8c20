"""Random points of a discrete space that are drawn up front, so that their order is free."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler

from stagetree.search import draft
from stagetree.search.grid import known_params
from stagetree.search.notes import counts, is_imported
from stagetree.search.space import point_text
from stagetree.search.tree_order import chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from stagetree.search.space import Space
    from stagetree.search.tree_order import TreeOrder

LARGEST = 2000
"""A larger batch is not drawn up front: every worker would do so."""


class Batch:
    """The points that the trials of a study have by their numbers, handed out in any order.

    Trial ``n`` alone would have draw ``n``. A batch is all draws up to the last trial's: which of
    them are left is read from the study, so that workers and restarts together run each once.

    Args:
        space: A discrete space.
        sampler: Gives the sampler of a trial's number.
        total: How many trials the study shall have.
        order: Chooses among the draws that are left; without, the first one is next.
    """

    def __init__(
        self,
        space: Space,
        sampler: Callable[[int], BaseSampler],
        total: int,
        order: TreeOrder | None = None,
    ) -> None:
        self._space = space
        self._sampler = sampler
        self._total = total
        self._order = order
        self._draws: list[dict[str, Any]] = []

    def next(self, study: Study, number: int, others: Sequence[FrozenTrial]) -> Mapping[str, Any]:
        """Return the point of a new trial.

        Args:
            study: The study.
            number: The trial's number.
            others: Its other trials.
        """
        beside = sum(trial.state.is_finished() and not counts(trial) for trial in others)
        left = self._left(study, max(self._total + beside, number + 1), others)
        found = chosen(left, others, self._order)
        return self._drawn(study, number) if found is None else found

    def _left(
        self, study: Study, end: int, others: Sequence[FrozenTrial]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the draws before ``end`` that no trial has; a given point replaced its own."""
        given = {trial.number for trial in others if _is_given(trial)}
        taken = Counter(point_text(trial.params) for trial in others if trial.number not in given)
        for number in range(end):
            if number in given:
                continue
            draw = self._drawn(study, number)
            key = point_text(draw)
            if taken[key]:
                taken[key] -= 1
            else:
                yield draw

    def _drawn(self, study: Study, number: int) -> dict[str, Any]:
        while len(self._draws) <= number:
            sampler = self._sampler(len(self._draws))
            self._draws.append(draft.drawn(study, sampler, self._space))
        return self._draws[number]


class BatchSampler(BaseSampler):
    """Gives a new trial a point of a batch, and one that has values already what goes with them.

    Args:
        batch: The batch.
        space: Its space.
        within: Samples what a trial that was enqueued does not have.
    """

    def __init__(self, batch: Batch, space: Space, within: BaseSampler) -> None:
        self._batch = batch
        self._space = space
        self._within = within

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space for a new trial: a point is taken as one."""
        return {} if known_params(trial) else self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the batch's next point."""
        if not search_space:
            return {}
        trials = study.get_trials(deepcopy=False)
        others = [other for other in trials if other.number != trial.number]
        return dict(self._batch.next(study, trial.number, others))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a draw of one parameter."""
        return self._within.sample_independent(study, trial, param_name, param_distribution)


def _is_given(trial: FrozenTrial) -> bool:
    """Return whether a trial's point was not drawn for this study."""
    return is_imported(trial) or "fixed_params" in trial.system_attrs
