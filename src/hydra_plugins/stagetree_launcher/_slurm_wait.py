"""Waiting for the jobs of a line, with the study as the truth and Slurm's queue as a hint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.stagetree_launcher._batch import lost, returned
from hydra_plugins.stagetree_launcher._slurm_job import result_file
from hydra_plugins.stagetree_sweeper._console import complain
from stagetree.core import slurm
from stagetree.core.interrupt import Terminated, raise_on_sigterm
from stagetree.search.results import row
from stagetree.search.worker import Worker

if TYPE_CHECKING:
    from hydra.types import TaskFunction

    from stagetree.core.submissions import Submission

POLL = 1.0
"""Seconds between two looks at the queue."""

_ENDING = 60.0
"""Seconds that cancelled jobs are given to end."""


def wait(task: TaskFunction, submission: Submission, folder: Path) -> list[JobReturn]:
    """Wait until no job is left, telling of finished trials, and return how each job ended.

    Raises:
        KeyboardInterrupt: Ctrl-C; the jobs were cancelled.
        Terminated: SIGTERM; the jobs were cancelled.
    """
    raise_on_sigterm()
    progress = _Progress(task) if isinstance(task, Worker) else None
    watch = _Watch(submission.jobs)
    try:
        while watch.look():
            if progress is not None and progress.tell():
                watch.drop_waiting()
            time.sleep(POLL)
        if progress is not None:
            progress.tell()
    except (KeyboardInterrupt, Terminated):
        _cancel(submission.jobs)
        raise
    return [_result(folder, job, watch) for job in submission.jobs]


class _Watch:
    """What Slurm's queue says of some jobs."""

    def __init__(self, jobs: Sequence[str]) -> None:
        self._jobs = jobs
        self._gone = 0
        self._silent = False
        self._shown = ""
        self.spared: set[str] = set()
        self.last: dict[str, slurm.SlurmJob] = {}

    def look(self) -> bool:
        """Look at the queue; return whether a job is in it, or may be."""
        try:
            found = slurm.queue(self._jobs)
        except slurm.SlurmError as error:
            if not self._silent:
                complain(f"waiting for Slurm to answer again: {error}")
            self._silent = True
            return True
        self._silent = False
        self.last |= found
        living = [job for job in found.values() if not job.ended]
        self._tell(living)
        self._gone = 0 if living else self._gone + 1
        return self._gone < 2  # a job that is queued again may be between two states

    def drop_waiting(self) -> None:
        """Cancel the jobs that have not started: there is nothing left for them to do."""
        waiting = [job.id for job in self.last.values() if job.state == "PENDING"]
        with contextlib.suppress(slurm.SlurmError):
            slurm.cancel(waiting)
            self.spared.update(waiting)

    def _tell(self, living: Sequence[slurm.SlurmJob]) -> None:
        """Say it when the workers' states have changed."""
        counts: dict[str, int] = {}
        for job in living:
            word = job.state.lower()
            if job.state == "PENDING" and job.reason:
                word += f" ({job.reason})"
            counts[word] = counts.get(word, 0) + 1
        shown = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        if shown != self._shown:
            self._shown = shown
            if shown:
                complain(f"workers: {shown}")


class _Progress:
    """Tells of the trials that other processes finish."""

    def __init__(self, worker: Worker) -> None:
        plan = worker.plan
        self._worker = worker
        self._study = plan.load()
        self._places = plan.places(self._study)
        trials = self._study.get_trials(deepcopy=False)
        self._told = {trial.number for trial in trials if trial.state.is_finished()}
        self._done = self._places.tally.count(trials).done

    def tell(self) -> bool:
        """Tell of trials that finished since; return whether the study has all of them."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished() and trial.number not in self._told:
                self._told.add(trial.number)
                self._done += 1
                self._worker.listener.trial_finished(
                    row(trial), self._done, self._worker.plan.total
                )
        return not self._places.open()


def _cancel(jobs: Sequence[str]) -> None:
    """Cancel the jobs and wait until they have ended, so that their trials are free."""
    complain("cancelling the workers")
    slurm.cancel(jobs)
    end = time.monotonic() + _ENDING
    while time.monotonic() < end:
        if all(job.ended for job in slurm.queue(jobs).values()):
            return
        time.sleep(POLL / 2)


def _result(folder: Path, job: str, watch: _Watch) -> JobReturn:
    """Read what a job left, or say how it was lost."""
    file = result_file(folder, job)
    with contextlib.suppress(FileNotFoundError, EOFError):
        return returned(file.read_bytes())
    if job in watch.spared:
        spared = JobReturn()
        spared.status = JobStatus.COMPLETED
        return spared
    state = watch.last[job].state if job in watch.last else "gone from the queue"
    return lost(
        f"job {job} left no result; Slurm's last word on it: {state}; its log: "
        f"{folder / f'{job}_0_log.err'}"
    )
