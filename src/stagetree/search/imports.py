"""Taking finished trials over into a study of another search space."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from stagetree.search.condition import same
from stagetree.search.difference import settings
from stagetree.search.notes import IMPORTED, REJECTED, ended
from stagetree.search.parameter import display_names
from stagetree.search.question import leaf_text
from stagetree.search.space import point_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optuna import Study
    from optuna.distributions import BaseDistribution

    from stagetree.search.space import Space


@dataclass(frozen=True)
class Selection:
    """The trials of earlier studies that are evidence for a new one.

    Attributes:
        trials: Ready to be added to the new study, each with its origin.
        found: How many finished trials there were.
        outside: How many of them lie outside of the new space.
    """

    trials: tuple[FrozenTrial, ...]
    found: int
    outside: int

    def __str__(self) -> str:
        text = f"{len(self.trials)} of {self.found} trials"
        repeated = self.found - self.outside - len(self.trials)
        notes = [f"{self.outside} outside of the space"] if self.outside else []
        notes += [f"{repeated} the same as another"] if repeated else []
        return f"{text} ({', '.join(notes)})" if notes else text


def select(
    sources: Iterable[tuple[Study, Mapping[str, Any]]], asked: Mapping[str, Any], space: Space
) -> Selection:
    """Return what finished trials of earlier studies say about the points of a new space.

    Complete and pruned trials count, each origin and each point once; a complete trial is
    preferred. A parameter new in the space has the value that the configuration had before; of
    one that was taken out, only trials with the value it is fixed at now count.

    Args:
        sources: Studies, oldest first, each with its question as plain data.
        asked: The new study's question as plain data.
        space: Its search space.
    """
    origins: set[str] = set()
    chosen: dict[str, FrozenTrial] = {}
    outside = 0
    for study, known in sources:
        move = _Move(known, asked, space)
        for trial in study.get_trials(deepcopy=False):
            origin = str(trial.user_attrs.get(IMPORTED, f"{study.study_name}#{trial.number}"))
            if not _is_evidence(trial) or origin in origins:
                continue
            origins.add(origin)
            moved = move.trial(trial, origin)
            if moved is None:
                outside += 1
                continue
            point = point_text(moved.params)
            if point not in chosen or _is_better_known(moved, chosen[point]):
                chosen[point] = moved
    return Selection(tuple(chosen.values()), len(origins), outside)


def _is_evidence(trial: FrozenTrial) -> bool:
    ended_well = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended_well and ended(trial) != REJECTED


def _is_better_known(one: FrozenTrial, other: FrozenTrial) -> bool:
    return one.state == TrialState.COMPLETE and other.state == TrialState.PRUNED


class _Move:
    """The way from one question's trials to another's."""

    def __init__(self, known: Mapping[str, Any], asked: Mapping[str, Any], space: Space) -> None:
        before, after = settings(known), settings(asked)
        searched = list(known["space"])
        self._names = dict(zip(searched, display_names(searched), strict=True))
        self._space = space
        self._known = {key: setting.text for key, setting in before.items() if not setting.swept}
        self._fixed = {
            name: after[key].text
            for key, name in self._names.items()
            if key in after and not after[key].swept
        }

    def trial(self, trial: FrozenTrial, origin: str) -> FrozenTrial | None:
        """Return the trial as one of the new study, or ``None`` when it lies outside."""
        params = trial.params
        if any(
            name not in params or not means(text, params[name])
            for name, text in self._fixed.items()
        ):
            return None
        try:
            return self._moved(trial, self._point(params), origin)
        except ValueError:
            return None

    def _point(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the trial's point in the new space.

        Raises:
            ValueError: It has none.
        """
        point: dict[str, Any] = {}
        for parameter in self._space.parameters:
            key = parameter.key.lstrip("+")
            name = self._names.get(key, "")
            if name in params:
                point[parameter.name] = fit(parameter.distribution, params[name])
            elif key in self._known:
                point[parameter.name] = read(parameter.distribution, self._known[key])
        point = self._space.existing(point)
        if not all(zipped.matching(point) for zipped in self._space.zips):
            raise ValueError(f"expected a point of the space but got {point}")
        return point

    def _moved(self, trial: FrozenTrial, point: dict[str, Any], origin: str) -> FrozenTrial:
        """Return the trial at another point.

        Raises:
            ValueError: A value is not in its distribution.
        """
        moved = create_trial(
            state=trial.state,
            values=trial.values,
            params=point,
            distributions={name: self._space.distributions[name] for name in point},
            user_attrs={**trial.user_attrs, IMPORTED: origin},
            intermediate_values=dict(trial.intermediate_values),
            constraints=dict(trial.constraints),
        )
        moved.datetime_start = trial.datetime_start
        moved.datetime_complete = trial.datetime_complete
        return moved


def fit(distribution: BaseDistribution, value: Any) -> Any:
    """Return a value of one distribution as a value of another, which may yet not contain it.

    Raises:
        ValueError: It cannot be.
    """
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if same(choice, value) or _equal_numbers(choice, value):
                return choice
    elif _is_number(value) and not isinstance(distribution, IntDistribution):
        return float(value)
    elif _is_number(value) and float(value).is_integer():
        return int(value)
    raise ValueError(f"expected a value of {distribution} but got {value!r}")


def read(distribution: BaseDistribution, text: str) -> Any:
    """Return the value of a distribution that a fingerprint's text of a fixed key means.

    Raises:
        ValueError: There is none.
    """
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if means(text, choice):
                return choice
        raise ValueError(f"expected a value of {distribution} but got {text}")
    return fit(distribution, json.loads(text))


def means(text: str, value: Any) -> bool:
    """Return whether a fingerprint's text of a fixed key is that of a parameter's value.

    >>> means("0.00005", 5e-05), means('["a", "b"]', "[a,b]"), means("true", 1)
    (True, True, False)
    """
    if text == leaf_text(value) or text == json.dumps(value):  # a quoted name is an enum's
        return True
    if _is_number(value):
        try:
            return _equal_numbers(json.loads(text), value)
        except ValueError:
            return False
    lists = isinstance(value, str) and text.startswith("[") and value.startswith("[")
    return lists and bool(OmegaConf.create(text) == OmegaConf.create(value))


def _equal_numbers(one: Any, other: Any) -> bool:
    return _is_number(one) and _is_number(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
