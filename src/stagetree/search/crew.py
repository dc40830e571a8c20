"""Who works on a study, as the leases in its directory and the scheduler tell it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

from stagetree.core import slurm, submissions
from stagetree.core.liveness import Seen, here, is_stale, look
from stagetree.search.places import LEASES

GRACE = 20.0
"""Seconds of silence after which a worker that we cannot look at is called silent."""


_SLURM = re.compile(r"\d+(_\d+)?")


@dataclass(frozen=True)
class Member:
    """A worker, or a job that will become one.

    Attributes:
        job: The scheduler's id; empty for a local process.
        state: ``running``, ``silent`` (no sign of life for long) or ``gone`` (its process ended
            and its trial waits for another) as its lease says, else the scheduler's word in
            lower case.
        host: The node or machine.
        pid: Its process; 0 before it has one.
        since: When it started, in seconds since 1970; ``None`` when that is not known.
        trial: The trial that it runs.
        reason: Why its job waits.
        here: Whether it is a process of this machine.
    """

    job: str
    state: str
    host: str = ""
    pid: int = 0
    since: float | None = None
    trial: int | None = None
    reason: str = ""
    here: bool = False

    @property
    def lives(self) -> bool:
        """Whether its trial is in its hands, as far as can be told."""
        return self.state not in ("gone", "silent")

    @property
    def by_slurm(self) -> bool:
        """Whether it is a job of Slurm."""
        return bool(_SLURM.fullmatch(self.job))


@dataclass(frozen=True)
class Crew:
    """All workers of a study.

    Attributes:
        members: The workers that run, then the jobs that wait.
        total: How many trials the study shall have, where a submission says so.
        trouble: Why the scheduler's queue is not known; empty when it is.
    """

    members: tuple[Member, ...]
    total: int | None = None
    trouble: str = ""


def crew(directory: Path) -> Crew:
    """Return who works on the study of a directory; works on any machine that sees it."""
    told = submissions.read(directory)
    leased = _workers(directory / LEASES)
    ids = {job for submission in told for job in submission.jobs}
    ids |= {worker.job for worker in leased if worker.by_slurm}
    queue, trouble = _queue(ids)
    workers = [_placed(worker, queue, bool(trouble)) for worker in leased]
    living = [worker for worker in workers if worker.lives or worker.trial is not None]
    known = {worker.job for worker in living if worker.lives}
    jobs = [
        Member(job.id, job.state.lower(), job.node, since=_seconds(job), reason=job.reason)
        for job in queue.values()
        if not job.ended and job.id not in known
    ]
    total = next((each.total for each in reversed(told) if each.total is not None), None)
    return Crew((*living, *jobs), total, trouble)


def _queue(ids: set[str]) -> tuple[dict[str, slurm.SlurmJob], str]:
    try:
        return slurm.queue(ids), ""
    except slurm.SlurmError as error:
        return {}, str(error)


def _workers(leases: Path) -> list[Member]:
    """Return the workers that left a lease and did not take it back."""
    trials: dict[tuple[str, int], int] = {}
    for file in leases.glob("[0-9]*.lock"):
        seen = look(file)
        if seen is not None:
            trials[seen.machine, seen.pid] = int(file.stem)
    found = []
    for file in sorted(leases.glob("worker-*.lock")):
        seen = look(file)
        if seen is not None:
            found.append(_member(file, seen, trials.get((seen.machine, seen.pid))))
    return sorted(found, key=lambda member: (member.job, member.host, member.pid))


def _member(file: Path, seen: Seen, trial: int | None) -> Member:
    mine = here(seen)
    silence = time.time() - seen.mtime / 1e9
    state = "running"
    if mine:
        state = "gone" if is_stale(file, seen, GRACE) else state
    elif silence > max(GRACE, 3 * seen.heartbeat):
        state = "silent"
    since = seen.since or None
    return Member(seen.worker, state, seen.host, seen.pid, since, trial, here=mine)


def _placed(worker: Member, queue: dict[str, slurm.SlurmJob], blind: bool) -> Member:
    """Correct what a lease says of a job by what the scheduler says.

    Args:
        worker: The worker as its lease shows it.
        queue: The scheduler's jobs.
        blind: Whether the scheduler could not be asked.
    """
    if blind or not worker.lives or not worker.by_slurm:
        return worker
    job = queue.get(worker.job)
    if job is None or job.ended or job.state == "PENDING":
        return replace(worker, state="gone")
    return replace(worker, state=job.state.lower(), host=job.node or worker.host)


def _seconds(job: slurm.SlurmJob) -> float | None:
    """Return when a job started."""
    if not job.start or job.state == "PENDING":
        return None
    return time.mktime(time.strptime(job.start, "%Y-%m-%dT%H:%M:%S"))
