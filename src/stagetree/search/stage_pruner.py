"""Pruning across stages: any Optuna pruner, shown only the stage that is running."""

from __future__ import annotations

import bisect
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from optuna.storages import BaseStorage

STAGE_STEPS = 10_000
"""Steps that a stage takes on a trial's step axis: one for each hundredth of a percent."""

_ATTRIBUTE = "stagetree:stage:"


def step_of(index: int, fraction: float) -> int:
    """Return the step of a report at ``fraction`` of stage number ``index``.

    >>> step_of(0, 1.0), step_of(1, 0.5)
    (10000, 15000)
    """
    return index * STAGE_STEPS + min(max(round(fraction * STAGE_STEPS), 1), STAGE_STEPS)


def stage_attribute(index: int) -> str:
    """Return the trial attribute that holds name and signature of stage number ``index``."""
    return f"{_ATTRIBUTE}{index}"


def described(trial: FrozenTrial) -> dict[int, tuple[str, str]]:
    """Return name and signature of the stages in which a trial has reported, by their place."""
    found = {
        int(key.removeprefix(_ATTRIBUTE)): (str(value[0]), str(value[1]))
        for key, value in trial.user_attrs.items()
        if key.startswith(_ATTRIBUTE)
    }
    return dict(sorted(found.items()))


def identity(trial: FrozenTrial, index: int) -> tuple[str, str]:
    """Return name and signature of a stage; a stage nobody described is known by its place."""
    return described(trial).get(index, (f"#{index}", ""))


def index_of(trial: FrozenTrial, name: str) -> int | None:
    """Return the place of the stage called ``name`` in a trial, if it has reported there."""
    return next((index for index, (own, _) in described(trial).items() if own == name), None)


def stages_of(trial: FrozenTrial) -> list[tuple[str, str]]:
    """Return name and signature of the stages in which a trial has reported its objective."""
    return [stage for stage in described(trial).values() if stage[1]]


class StageAwarePruner(BasePruner):
    """Lets ``inner`` compare a trial with others in its current stage only.

    Other stages' reports are hidden and steps count from 1 to 10,000 within the stage, whatever
    its place in each trial's pipeline, so that different metrics and lengths never mix. Trials
    that share the stage's result (the same signature) are one piece of evidence, not several.
    A trial that reported at other fractions is compared by its last report before, and one that
    was pruned stays evidence with its last report: were only survivors compared with, the bar
    would rise until good trials fall under it.

    Args:
        inner: Any Optuna pruner, Hyperband and successive halving included.
        only: Name of the only stage in which to prune; ``None``: in every one.
    """

    def __init__(self, inner: BasePruner, only: str | None = None) -> None:
        self.inner = inner
        self.only = only
        self._known: dict[tuple[int, str], dict[int, _Peer | None]] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` should stop, judged at its last reported step."""
        if trial.last_step is None:
            return False
        index = (trial.last_step - 1) // STAGE_STEPS
        name, signature = identity(trial, index)
        if self.only not in (None, name):
            return False
        shown = _staged(trial, index, name)
        known = self._known.setdefault((study._study_id, name), {})
        storage = _StageStorage(study._storage, name, signature, shown, known)
        view = Study(
            study.study_name, cast("BaseStorage", storage), sampler=study.sampler, pruner=self.inner
        )
        return self.inner.prune(view, shown)


def _staged(trial: FrozenTrial, index: int, name: str) -> FrozenTrial:
    """Return a copy that shows only stage ``index``, with its pruner's own attributes."""
    first, last = index * STAGE_STEPS + 1, (index + 1) * STAGE_STEPS
    shown = copy.copy(trial)
    shown.intermediate_values = {
        step - index * STAGE_STEPS: value
        for step, value in sorted(trial.intermediate_values.items())
        if first <= step <= last
    }
    prefix = _prefix(name)
    shown.system_attrs = {
        key.removeprefix(prefix): value
        for key, value in trial.system_attrs.items()
        if key.startswith(prefix)
    }
    return shown


def _prefix(name: str) -> str:
    return f"stagetree:pruner:{name}:"


@dataclass(frozen=True)
class _Peer:
    trial: FrozenTrial
    signature: str

    def rank(self) -> tuple[bool, int, int]:
        """How well the trial stands for all that share its stage."""
        complete = self.trial.state == TrialState.COMPLETE
        return complete, len(self.trial.intermediate_values), -self.trial.number


class _StageStorage:
    """A study's storage as it would be had every trial only the current stage.

    What it makes of trials that have ended is kept in ``known``, as those do not change.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        signature: str,
        current: FrozenTrial,
        known: dict[int, _Peer | None],
    ) -> None:
        self._storage = storage
        self._name = name
        self._signature = signature
        self._current = current
        self._known = known

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._storage, attribute)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the current trial and one peer for each other result of the stage."""
        everything = self._storage.get_all_trials(study_id, deepcopy=False)
        steps = list(self._current.intermediate_values)
        peers = [_carried(peer, steps) for peer in _independent(self._peers(everything))]
        if states is not None and TrialState.COMPLETE in states:
            peers = [_as_complete(peer) for peer in peers]
        trials = sorted([*peers, self._current], key=lambda trial: trial.number)
        return [trial for trial in trials if states is None or trial.state in states]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the complete peer with the best value.

        Raises:
            ValueError: There is none.
        """
        complete = self.get_all_trials(study_id)
        complete = [trial for trial in complete if trial.state == TrialState.COMPLETE]
        maximize = self._storage.get_study_directions(study_id)[0] == StudyDirection.MAXIMIZE
        choose = max if maximize else min
        return choose(complete, key=lambda trial: cast("float", trial.value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what the inner pruner notes apart from its notes on other stages."""
        self._storage.set_trial_system_attr(trial_id, _prefix(self._name) + key, value)

    def _peers(self, trials: Iterable[FrozenTrial]) -> list[_Peer]:
        peers: list[_Peer] = []
        for trial in trials:
            if trial.number == self._current.number:
                continue
            peer = self._peer(trial)
            if peer is not None and (not peer.signature or peer.signature != self._signature):
                peers.append(peer)
        return peers

    def _peer(self, trial: FrozenTrial) -> _Peer | None:
        """Return a trial as it looks in the stage, or ``None`` when it never reported there."""
        if trial.number in self._known:
            return self._known[trial.number]
        index = index_of(trial, self._name)
        peer = None
        if index is not None:
            peer = _Peer(_staged(trial, index, self._name), identity(trial, index)[1])
        if trial.state.is_finished():
            self._known[trial.number] = peer
        return peer


def _independent(peers: Iterable[_Peer]) -> list[FrozenTrial]:
    """Return one trial a signature, the one that says most; unsigned ones are all their own."""
    best: dict[str, _Peer] = {}
    for peer in peers:
        key = peer.signature or f"#{peer.trial.number}"
        if key not in best or peer.rank() > best[key].rank():
            best[key] = peer
    return [peer.trial for peer in best.values()]


def _carried(peer: FrozenTrial, steps: Iterable[int]) -> FrozenTrial:
    """Return a peer with a value at ``steps`` it passed without reporting: its last one before."""
    own = sorted(peer.intermediate_values)
    carried: dict[int, float] = {}
    for step in steps:
        before = bisect.bisect_right(own, step)
        passed = before < len(own) or peer.state in (TrialState.COMPLETE, TrialState.PRUNED)
        if before and passed and step not in peer.intermediate_values:
            carried[step] = peer.intermediate_values[own[before - 1]]
    if not carried:
        return peer
    fuller = copy.copy(peer)
    fuller.intermediate_values = {**peer.intermediate_values, **carried}
    return fuller


def _as_complete(peer: FrozenTrial) -> FrozenTrial:
    """Return a pruned peer as pruners see those they compare with; others as they are."""
    if peer.state != TrialState.PRUNED or not peer.intermediate_values:
        return peer
    shown = copy.copy(peer)
    shown.state = TrialState.COMPLETE
    return shown
