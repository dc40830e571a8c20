"""A worker: takes a trial, runs it, tells the study, and takes the next."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from stagetree.core.reporting import TrialContext
from stagetree.search import ending
from stagetree.search.attempt import App, Outcome, attempt
from stagetree.search.composer import Composer
from stagetree.search.interrupts import Interrupts
from stagetree.search.notes import CRASHED, CRASHES, INTERRUPTED
from stagetree.search.patient_storage import StorageAwayError
from stagetree.search.places import Claim, Places
from stagetree.search.reporter import TrialReporter
from stagetree.search.results import row, rows
from stagetree.search.samplers import build_pruner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study
    from optuna.trial import FrozenTrial

    from stagetree.search.plan import SearchPlan, StudyListener

POLL = 1.0
"""Seconds between two looks at a study whose last places other workers hold."""


class Worker:
    """Works on a study until it has all its trials; any Hydra launcher runs it as its task.

    It can be pickled, keeps nothing between calls and may be killed at any moment: the next
    worker continues the trial it had.

    Args:
        plan: The search.
        app: The Hydra app whose runs are the trials.
        listener: Hears of every finished trial.

    Attributes:
        interchangeable: Tells launchers that any number of these, started at any time, do one
            work together: one that is lost is worth starting again.
    """

    interchangeable = True

    def __init__(self, plan: SearchPlan, app: App, listener: StudyListener) -> None:
        self.plan = plan
        self.app = app
        self.listener = listener

    def __call__(self, cfg: Any = None) -> int:
        """Run trials until none is left to start; return how many this worker finished.

        Raises:
            KeyboardInterrupt: Ctrl-C; the running trial can be continued.
            Terminated: SIGTERM; the running trial can be continued.
        """
        study = self.plan.load(opening=self.plan.storage_patience)
        study.pruner = build_pruner(self.plan.pruner)
        with Interrupts() as interrupts, self.plan.presence():
            finished = _Shift(self, study, interrupts).work()
        self.listener.study_finished(rows(study))
        return finished


class _Shift:
    """One call of a worker."""

    def __init__(self, worker: Worker, study: Study, interrupts: Interrupts) -> None:
        self._plan = worker.plan
        self._app = worker.app
        self._listener = worker.listener
        self._study = study
        self._interrupts = interrupts
        self._composer = Composer(worker.app, worker.plan.fixed)
        self._budget = worker.plan.budget_left()
        self._expected = worker.plan.expected()
        self._places: Places = worker.plan.places(study, self._fits)
        self._just_read: list[FrozenTrial] | None = None

    def work(self) -> int:
        finished = 0
        while not self._over():
            with self._interrupts.shield():
                claim = self._places.claim()
            if claim is not None:
                finished += self._run(claim)
            elif self._places.others_running and self._plan.wait and not self._places.full:
                time.sleep(POLL)
            else:
                break
        return finished

    def _over(self) -> bool:
        """Return whether no further trial may start: too many failures, or too little time."""
        trials, self._just_read = self._just_read, None
        trials = self._study.get_trials(deepcopy=False) if trials is None else trials
        failures = self._places.tally.count(trials).failures
        needed = None if self._expected is None else 0.0  # what the next one needs is asked then
        return self._plan.too_many(failures) or bool(self._budget.refuses(trials, needed))

    def _fits(self, params: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial with these parameters is expected to fit in the budget."""
        if self._expected is None:
            return True
        return not self._budget.refuses(trials, self._expected.seconds(params, trials))

    def _run(self, claim: Claim) -> bool:
        """Run a trial to its end; return whether its end was ours to tell."""
        if claim.twin is not None:
            with self._interrupts.shield():
                self._heard(ending.copy(self._study, claim, claim.twin))
                claim.lease.release()
            return True
        before = float(claim.trial.user_attrs.get("seconds", 0.0))
        start = time.monotonic()
        try:
            outcome, reporter = self._attempts(claim)
            seconds = before + time.monotonic() - start
            with self._interrupts.shield():
                return self._tell(claim, outcome, reporter, seconds)
        except BaseException:
            with contextlib.suppress(StorageAwayError):
                if claim.lease.held() and not self._ended(claim):
                    claim.trial.set_user_attr("seconds", before + time.monotonic() - start)
                    claim.trial.set_user_attr(INTERRUPTED, True)
            raise
        finally:
            claim.lease.release()

    def _ended(self, claim: Claim) -> bool:
        trials = self._study.get_trials(deepcopy=False)
        return trials[claim.trial.number].state.is_finished()

    def _attempts(self, claim: Claim) -> tuple[Outcome, TrialReporter]:
        """Run the trial until it ends or has crashed too often."""
        crashes = int(claim.trial.user_attrs.get(CRASHES, 0))
        overrides = self._plan.space.overrides(claim.params)
        while True:
            reporter = TrialReporter(claim.trial, self._plan.metrics, claim.lease, self._interrupts)
            context = TrialContext(self._plan.name, claim.trial.number, claim.params, reporter)
            outcome = attempt(
                self._app,
                self._composer,
                overrides,
                trial=context,
                metrics=self._plan.metrics,
                objectives=len(self._study.directions),
            )
            crashes += outcome.state == CRASHED
            if outcome.state != CRASHED or crashes >= self._plan.max_attempts:
                return outcome, reporter
            if not claim.lease.held():
                return Outcome("lost"), reporter
            with self._interrupts.shield():
                claim.trial.set_user_attr(CRASHES, crashes)

    def _tell(
        self, claim: Claim, outcome: Outcome, reporter: TrialReporter, seconds: float
    ) -> bool:
        if outcome.state == "lost" or not claim.lease.held():
            return False
        self._heard(ending.tell(self._study, self._plan, claim, outcome, reporter, seconds))
        return True

    def _heard(self, told: FrozenTrial) -> None:
        trials = self._just_read = self._study.get_trials(deepcopy=False)
        done = self._places.tally.count(trials).done
        self._listener.trial_finished(row(told), done, self._plan.total)
