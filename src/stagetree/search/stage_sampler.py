"""What samplers that know what is paid for have in common: what a trial takes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.paid import SEEN, Paid, levels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution

    from stagetree.search.dependence import Dependence


@dataclass(frozen=True)
class Branch:
    """Where a trial may leave what is paid for.

    Attributes:
        paid: What is.
        depth: How many first levels are taken over; 0: the trial pays for all.
        trials: The other trials, those that run too.
        finished: Those that have ended, best first.
    """

    paid: Paid
    depth: int
    trials: list[FrozenTrial]
    finished: list[FrozenTrial]

    def candidates(self, count: int | None = None) -> list[FrozenTrial]:
        """Return trials whose prefixes may be taken over, all different, the best ones first."""
        return self.paid.prefixes(self.finished, self.depth, count or len(self.finished))

    def prefix(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the parameters of a trial that are taken over."""
        return self.paid.prefix(trial.params, self.depth)


class StageSampler(BaseSampler):
    """Part of a sampler that can take over the first parameters of an earlier trial.

    Attributes:
        dependence: Which parameters each stage depends on; ``None`` where nobody told.
    """

    dependence: Dependence | None = None
    _taken_over: dict[str, Any]

    def _branch(self, study: Study, trial: FrozenTrial) -> Branch | None:
        """Return where the trial should leave what is paid for; ``None``: none ever should."""
        self._taken_over = {}
        everything = study._get_trials(deepcopy=False, states=SEEN, use_cache=False)
        trials = [other for other in everything if other.number != trial.number]
        if not self.dependence or not trials:
            return None
        names = {name for one in trials for name in one.params}
        paid = Paid(levels_of(self.dependence, names), trials)
        shares = paid.shares()
        if shares is None:
            return None
        return Branch(paid, paid.depth(shares), trials, ranked(study, trials))

    def _take_over_any(self, branch: Branch, rng: np.random.RandomState) -> None:
        """Take over some paid prefix, whatever it is worth."""
        found = branch.candidates()
        if found:
            self._taken_over = branch.prefix(found[rng.randint(len(found))])

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value that was taken over for a parameter, or one drawn without a model."""
        if param_name in self._taken_over:
            value = self._taken_over[param_name]
            if param_distribution._contains(param_distribution.to_internal_repr(value)):
                return value
        drawn = super().sample_independent  # type: ignore[safe-super]  # of the other base
        return drawn(study, trial, param_name, param_distribution)


def ranked(study: Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that have ended, best first: complete within bounds, complete, pruned."""
    ended = [trial for trial in trials if trial.state.is_finished()]
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    others = [trial for trial in ended if trial.state != TrialState.COMPLETE]
    signs = [1.0 if one == StudyDirection.MINIMIZE else -1.0 for one in study.directions]
    losses = np.array([trial.values for trial in complete]).reshape(-1, len(signs)) * signs
    order = losses[:, 0] if len(signs) == 1 or not complete else _fast_non_domination_rank(losses)
    broken = [any(value > 0 for value in trial.constraints.values()) for trial in complete]
    places = sorted(range(len(complete)), key=lambda place: (broken[place], order[place]))
    return [*(complete[place] for place in places), *others]
