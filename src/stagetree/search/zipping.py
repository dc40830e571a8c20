"""Parameters that move together: reading which, and keeping them together under any sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.search.condition import alike
from stagetree.search.space import Zip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

    from stagetree.search.parameter import Parameter
    from stagetree.search.space import Space

OPTION = "hydra.sweeper.zip"


def read(
    wanted: Any, values: Mapping[str, Sequence[Any]], parameters: Sequence[Parameter]
) -> tuple[Zip, ...]:
    """Return the zips of an option.

    Args:
        wanted: Lists of keys or displayed names; one list may stand for a list of one.
        values: What each discrete parameter lists, repeats included, by displayed name.
        parameters: All parameters.

    Raises:
        ConfigError: With every key that is not swept over as many values as the others of its
            zip, or in two zips.
    """
    lists = wanted or []
    if lists and all(isinstance(key, str) for key in lists):
        lists = [lists]
    known = {one.key.lstrip("+"): one.name for one in parameters}
    known |= {one.name: one.name for one in parameters}
    order = [one.name for one in parameters]
    faults: list[Fault] = []
    zips: list[Zip] = []
    for place, keys in enumerate(lists):
        path = f"{OPTION}[{place}]"
        names = _names(path, keys, known, values, faults)
        names = sorted(names, key=order.index)
        taken = {name for zipped in zips for name in zipped.names}
        faults += [Fault(path, f"{name} is in another zip, too") for name in names if name in taken]
        if len({len(values[name]) for name in names}) > 1:
            counts = ", ".join(f"{name} {len(values[name])}" for name in names)
            faults.append(Fault(path, f"expected as many values of each but got {counts}"))
        rows = list(zip(*(values[name] for name in names), strict=False))
        zips.append(Zip(tuple(names), tuple(_distinct(rows))))
    if faults:
        raise ConfigError(faults)
    return tuple(zips)


def _names(
    path: str,
    keys: Any,
    known: Mapping[str, str],
    values: Mapping[str, Sequence[Any]],
    faults: list[Fault],
) -> list[str]:
    if not isinstance(keys, list) or len(keys) < 2 or len(set(map(str, keys))) < len(keys):
        faults.append(Fault(path, f"expected a list of different keys but got {keys!r}"))
        return []
    found: list[str] = []
    for key in map(str, keys):
        if key not in known:
            faults.append(Fault(path, unknown("swept key", key, list(known))))
        elif known[key] not in values:
            faults.append(Fault(path, f"expected listed values of {key} but it is an interval"))
        else:
            found.append(known[key])
    return found


def _distinct(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list({repr(row): row for row in rows}.values())


class ZippedSampler(BaseSampler):
    """Any sampler, made to keep zipped parameters together.

    The first parameter of a zip is the sampler's own choice. Of the others it may propose a
    value; where that does not go with the ones before, one that does is drawn.

    Args:
        sampler: The sampler.
        space: The search space.
        seed: Seed of the draws.

    Attributes:
        within: The sampler.
    """

    def __init__(self, sampler: BaseSampler, space: Space, seed: int) -> None:
        self.within = sampler
        self._space = space
        self._random = np.random.default_rng(seed)

    def reseed_rng(self) -> None:
        """See :class:`optuna.samplers.BaseSampler`."""
        self.within.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what the sampler models together, without what follows from the rest."""
        found = self.within.infer_relative_search_space(study, trial)
        return {name: one for name, one in found.items() if not self._follows(name)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler proposes, without what follows from the rest."""
        found = self.within.sample_relative(study, trial, search_space)
        return {name: value for name, value in found.items() if not self._follows(name)}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return what the sampler proposes if it goes with the trial's other parameters."""
        zipped = self._space.zip_of(param_name)
        place = zipped.names.index(param_name) if zipped else 0
        fitting = [row[place] for row in zipped.matching(trial.params)] if zipped else []
        if place and len(_distinct([(value,) for value in fitting])) == 1:
            return fitting[0]
        proposed = self.within.sample_independent(study, trial, param_name, param_distribution)
        if not fitting or any(alike(value, proposed) for value in fitting):
            return proposed
        return fitting[self._random.integers(len(fitting))]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See :class:`optuna.samplers.BaseSampler`."""
        self.within.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See :class:`optuna.samplers.BaseSampler`."""
        self.within.after_trial(study, trial, state, values)

    def _follows(self, name: str) -> bool:
        zipped = self._space.zip_of(name)
        return zipped is not None and zipped.names[0] != name
