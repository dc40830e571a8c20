"""A trial that is sampled before it exists, so that it is created with its values in one write."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from optuna import Study, Trial
from optuna.distributions import check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState, create_trial

from stagetree.search.space import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from stagetree.search.space import Space

_DRAFT = -1
"""Id of a trial that does not exist yet, as Optuna's ``create_trial`` gives it."""


def create(
    study: Study,
    sampler: BaseSampler,
    space: Space,
    trials: Sequence[FrozenTrial],
    accepted: Callable[[Mapping[str, Any]], bool] = lambda params: True,
) -> Trial | None:
    """Create the next trial of a study with a value for every parameter, and return it.

    It comes out as ``ask`` and then ``suggest`` would make it. A trial that only just exists is
    never seen without its values, and other workers wait for one write instead of one a value.

    Args:
        study: The study; nobody else may create trials in it meanwhile.
        sampler: Samples the trial.
        space: What it gets.
        trials: All trials of the study, by number.
        accepted: Says of its parameters whether to create it.

    Returns:
        The trial; ``None`` if it was not accepted.
    """
    storage = _DraftStorage(study._storage, trials)
    view = copy.copy(study)
    view._storage = cast("BaseStorage", storage)
    view.sampler = sampler
    suggest(Trial(view, _DRAFT), space)
    if not accepted(storage.draft.params):
        return None
    study._thread_local.cached_all_trials = None
    number = study._storage.create_new_trial(study._study_id, storage.draft)
    return Trial(study, number)


def drawn(study: Study, sampler: BaseSampler, space: Space) -> dict[str, Any]:
    """Return the point that a sampler would give the first trial of a study; none is created.

    Args:
        study: A study, whose trials the sampler does not get to see.
        sampler: Samples the point.
        space: What it is a point of.
    """
    view = copy.copy(study)
    view._storage = cast("BaseStorage", _DraftStorage(study._storage, ()))
    view.sampler = sampler
    return suggest(Trial(view, _DRAFT), space)


class _DraftStorage:
    """A study's storage as it would be had it one more trial, the draft."""

    def __init__(self, storage: BaseStorage, trials: Sequence[FrozenTrial]) -> None:
        self._storage = storage
        self._trials = trials
        self.draft = create_trial(state=TrialState.RUNNING)
        self.draft.number = len(trials)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._storage, attribute)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return (
            copy.deepcopy(self.draft) if trial_id == _DRAFT else self._storage.get_trial(trial_id)
        )

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials, the draft last."""
        found = [
            trial for trial in (*self._trials, self.draft) if not states or trial.state in states
        ]
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_param(
        self, trial_id: int, name: str, internal: float, distribution: BaseDistribution
    ) -> None:
        """Give the draft a value.

        Raises:
            ValueError: Earlier trials have the parameter with another kind of distribution.
        """
        for trial in reversed(self._trials):
            if name in trial.distributions:
                check_distribution_compatibility(trial.distributions[name], distribution)
                break
        self.draft.params[name] = distribution.to_external_repr(internal)
        self.draft.distributions[name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note something on the draft."""
        self.draft.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note something on the draft, as samplers do."""
        self.draft.system_attrs[key] = value
