"""A study of chosen trials in memory, for what Optuna computes and draws from studies."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, TypeVar, cast

import optuna
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection

from stagetree.core.numbers import short

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState


_T = TypeVar("_T")

_METRIC_NAMES = "study:metric_names"


class _Trials:
    """As much of a storage as reading a study needs."""

    def __init__(
        self, trials: Sequence[FrozenTrial], directions: Sequence[str], metrics: Sequence[str]
    ) -> None:
        self._trials = trials
        self._metrics = list(metrics)
        self._directions = [StudyDirection[direction.upper()] for direction in directions]

    def get_study_id_from_name(self, name: str) -> int:
        return 0

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_system_attrs(self, study_id: int) -> dict[str, object]:
        return {_METRIC_NAMES: self._metrics} if self._metrics else {}

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def shown(
    trials: Sequence[FrozenTrial], directions: Sequence[str], metrics: Sequence[str] = ()
) -> Study:
    """Return a study that consists of these trials, with their numbers as they are.

    Args:
        trials: The trials; they are not copied.
        directions: ``maximize`` or ``minimize`` for each of their values.
        metrics: What the values are called.
    """
    storage = cast("BaseStorage", _Trials(trials, directions, metrics))
    return Study("shown", storage)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's remarks on what it leaves out of a chart off the terminal."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def evenly(items: Sequence[_T], most: int) -> list[_T]:
    """Return at most ``most`` items, evenly chosen, the first and the last among them.

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def common(distributions: Iterable[BaseDistribution]) -> BaseDistribution:
    """Return one distribution that holds every value of several.

    A study's later versions may have widened a range or added a choice. Choices other than
    numbers become text, see :func:`as_text`, as charts can neither sort nor hash any other.

    >>> common([FloatDistribution(1, 2), FloatDistribution(0, 1.5)])
    FloatDistribution(high=2.0, log=False, low=0.0, step=None)
    >>> common([CategoricalDistribution([None, True])])
    CategoricalDistribution(choices=('null', 'true'))
    """
    kinds = list(dict.fromkeys(distributions))
    if len(kinds) == 1 and not isinstance(kinds[0], CategoricalDistribution):
        return kinds[0]
    ranges = [one for one in kinds if isinstance(one, FloatDistribution | IntDistribution)]
    if len(ranges) == len(kinds):
        low, high = min(one.low for one in ranges), max(one.high for one in ranges)
        log = all(one.log for one in ranges)
        if all(isinstance(one, IntDistribution) for one in ranges):
            return IntDistribution(int(low), int(high), log=log)
        return FloatDistribution(low, high, log=log)
    return CategoricalDistribution(_choices(kinds))


def as_text(value: object, distribution: BaseDistribution) -> object:
    """Return a value as it is among the choices of :func:`common`'s distribution."""
    if not isinstance(distribution, CategoricalDistribution):
        return value
    return value if _numeric(distribution.choices) else short(value)


def _choices(kinds: Sequence[BaseDistribution]) -> list[int | float | str]:
    found: list[object] = []
    for one in kinds:
        if isinstance(one, CategoricalDistribution):
            found += one.choices
        elif isinstance(one, FloatDistribution | IntDistribution):
            found += [f"{short(one.low)} to {short(one.high)}"]
    if _numeric(found):
        return sorted(cast("set[int | float]", set(found)))
    return list(dict.fromkeys(short(choice) for choice in found))


def _numeric(values: Sequence[object]) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
