"""Exactly N trials: every trial of a study is a place, and a dead worker's place is taken over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.lease import Lease
from stagetree.search import draft, infeasible
from stagetree.search.notes import (
    CRASHED,
    DEATHS,
    ENDED,
    ERROR,
    INTERRUPTED,
    NOTES,
    REJECTED,
    is_imported,
)
from stagetree.search.space import Space, suggest
from stagetree.search.study import study_lease
from stagetree.search.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from optuna.samplers import BaseSampler

MAX_DEATHS = 5
"""How many workers may die in one trial before it counts as failed."""

MAX_REJECTED = 100
"""How many points in a row may be rejected before one is run although it may not fit."""

LEASES = "leases"


@dataclass(frozen=True)
class Claim:
    """A trial that is ours to end.

    Attributes:
        trial: The trial, with all its parameters.
        params: Its parameters by displayed name.
        lease: Our hold on it; without it nothing may be told.
        twin: A finished trial with the same parameters: its outcome is this one's, too.
    """

    trial: Trial
    params: dict[str, object]
    lease: Lease
    twin: FrozenTrial | None = None


class Places:
    """Hands out the places of a study, one worker at a time.

    Everything happens under the study's lease, so no two workers ask for the same point and the
    count is exact. A running trial whose own lease is free belongs to a worker that is gone: it
    is *continued*, as the same Optuna trial with the same parameters, before a new one is asked.

    Args:
        study: The study.
        directory: Its directory, seen by all workers; it holds the leases.
        total: How many trials the study shall have.
        space: What every trial gets.
        sampler: Gives the sampler for a trial's number.
        first: Points to run before the sampler is asked.
        forgiven: Numbers of trials that crashed in an earlier run of this line and whose grid
            points are run again.
        copies: Whether a point that was run before takes over the earlier outcome.
        fits: Says of a new trial's parameters, and the trials there are, whether to start it.
        heartbeat: Seconds between a worker's signs of life.
        grace: Seconds of silence after which a worker on another machine counts as gone.
    """

    def __init__(
        self,
        study: Study,
        directory: Path,
        total: int,
        space: Space,
        sampler: Callable[[int], BaseSampler],
        *,
        first: Sequence[Mapping[str, Any]] = (),
        forgiven: Collection[int] = (),
        copies: bool = True,
        fits: Callable[[Mapping[str, Any], Sequence[FrozenTrial]], bool] = lambda *_: True,
        heartbeat: float = 2.0,
        grace: float = 20.0,
    ) -> None:
        self._study = study
        self._directory = directory
        self._total = total
        self._space = space
        self._sampler = sampler
        self._first = first
        self.tally = Tally(forgiven)
        self._copies = copies
        self._fits = fits
        self._heartbeat = heartbeat
        self._grace = grace
        self.others_running = False
        self.full = False

    def claim(self) -> Claim | None:
        """Return a trial to run, or ``None`` when there is none to be had now.

        After ``None``, ``others_running`` says whether waiting may help: another worker runs a
        trial that could still become ours; ``full``, that the next trial does not fit.
        """
        lock = study_lease(self._directory, self._heartbeat, self._grace)
        lock.acquire(poll=0.02)
        try:
            trials = self._study.get_trials(deepcopy=False)
            return self._abandoned(trials) or self._new(trials)
        finally:
            lock.release()

    def open(self) -> bool:
        """Return whether any place is untaken or its trial unfinished."""
        trials = self._study.get_trials(deepcopy=False)
        late = self.tally.unsettled(trials)
        running = any(trial.state == TrialState.RUNNING for trial in late)
        return running or self.tally.count(trials).taken < self._total

    def _abandoned(self, trials: Sequence[FrozenTrial]) -> Claim | None:
        self.others_running = False
        for frozen in self.tally.unsettled(trials):
            if frozen.state != TrialState.RUNNING:
                continue
            lease = self._lease(frozen.number)
            if not lease.try_acquire():
                self.others_running = True
                continue
            now = self._study._storage.get_trial(frozen._trial_id)
            if now.state != TrialState.RUNNING:  # it ended while we looked
                lease.release()
                continue
            claim = self._take_over(now, lease, trials)
            if claim is not None:
                return claim
        return None

    def _take_over(
        self, frozen: FrozenTrial, lease: Lease, trials: Sequence[FrozenTrial]
    ) -> Claim | None:
        """Continue a dead worker's trial, unless it has killed too many."""
        self._study.sampler = self._sampler(frozen.number)
        trial = Trial(self._study, frozen._trial_id)
        if frozen.user_attrs.get(INTERRUPTED):
            trial.set_user_attr(INTERRUPTED, False)
            return self._claimed(trial, lease, trials)
        deaths = int(frozen.user_attrs.get(DEATHS, 0)) + 1
        trial.set_user_attr(DEATHS, deaths)
        if deaths <= MAX_DEATHS:
            return self._claimed(trial, lease, trials)
        message = f"{deaths} workers died while they ran this trial"
        trial.set_user_attr(NOTES, {ENDED: CRASHED, ERROR: message})
        self._study.tell(trial, state=TrialState.FAIL)
        lease.release()
        return None

    def _new(self, trials: Sequence[FrozenTrial]) -> Claim | None:
        for _ in range(MAX_REJECTED):
            if self.tally.count(trials).taken >= self._total:
                return None
            claim = self._ask(trials)
            if claim is None:
                return None
            known = self.tally.infeasible(trials)
            reason = infeasible.reason(known, claim.params, self._space.distributions)
            if not reason:
                return claim
            self._reject(claim, reason)
            trials = self._study.get_trials(deepcopy=False)
        return self._ask(trials)

    def _ask(self, trials: Sequence[FrozenTrial]) -> Claim | None:
        """Ask for a new trial: a first point, as long as there are any, or a sampled one."""
        late = self.tally.unsettled(trials)
        waiting = [trial.number for trial in late if trial.state == TrialState.WAITING]
        queued = bool(waiting) or self._enqueue(trials)
        sampler = self._study.sampler = self._sampler(min(waiting, default=len(trials)))
        if queued:
            trial = self._study.ask()
        else:
            made = draft.create(
                self._study, sampler, self._space, trials, lambda params: self._fits(params, trials)
            )
            if made is None:
                self.full = True
                return None
            trial = made
        lease = self._lease(trial.number)
        if not lease.try_acquire():  # a left-over of a deleted study: stale before long
            self.others_running = True
            return None
        return self._claimed(trial, lease, trials)

    def _enqueue(self, trials: Sequence[FrozenTrial]) -> bool:
        """Put the next first point where the study takes its next trial from, if one is left."""
        own = len(trials) - self._imported(trials)
        if own >= len(self._first):
            return False
        self._study.enqueue_trial(dict(self._first[own]))
        return True

    def _imported(self, trials: Sequence[FrozenTrial]) -> int:
        """Return how many trials came from an earlier version; they are a study's first ones."""
        return next((place for place, t in enumerate(trials) if not is_imported(t)), len(trials))

    def _claimed(self, trial: Trial, lease: Lease, trials: Sequence[FrozenTrial]) -> Claim:
        params = suggest(trial, self._space)
        twin = self.tally.twin(trial.params, trials) if self._copies else None
        return Claim(trial, params, lease, twin)

    def _reject(self, claim: Claim, reason: str) -> None:
        """End a trial that is not worth running; it takes no place."""
        claim.trial.set_user_attr(NOTES, {ENDED: REJECTED, ERROR: reason})
        claim.trial.set_constraint(infeasible.CONSTRAINT, 1.0)
        self._study.tell(claim.trial, state=TrialState.PRUNED)
        claim.lease.release()

    def _lease(self, number: int) -> Lease:
        path = self._directory / LEASES / f"{number}.lock"
        return Lease(path, heartbeat=self._heartbeat, grace=self._grace)
