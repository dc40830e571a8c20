"""What Slurm's own commands say of jobs and partitions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from stagetree.core.errors import StagetreeError

ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""States that a job does not leave by itself."""

_TIMEOUT = 60
_FORMAT = "%i|%T|%N|%S|%r"


class SlurmError(StagetreeError):
    """A command of Slurm is missing, failed, or its controller does not answer."""


@dataclass(frozen=True)
class SlurmJob:
    """A job, or a task of a job array, as ``squeue`` shows it.

    Attributes:
        id: ``12``, or ``12_3`` for a task of an array.
        state: Slurm's word, e.g. ``PENDING`` or ``RUNNING``.
        node: Where it runs; empty while it does not.
        start: When it started, or shall start, as ISO time; empty when that is not known.
        reason: Why it waits or ended, in Slurm's word.
    """

    id: str
    state: str
    node: str = ""
    start: str = ""
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether the job is over for good."""
        return self.state in ENDED


def missing() -> list[str]:
    """Return which of the commands that we need are not on this machine."""
    return [name for name in ("sbatch", "srun", "squeue", "scancel") if not shutil.which(name)]


def queue(ids: Collection[str]) -> dict[str, SlurmJob]:
    """Return those of some jobs that Slurm still knows, by id; ended ones stay for a while.

    Args:
        ids: Jobs or tasks of arrays.

    Raises:
        SlurmError: ``squeue`` is missing or its controller does not answer.
    """
    if not ids:
        return {}
    jobs = sorted({job.partition("_")[0] for job in ids})
    words = ["squeue", "-h", "-r", "-t", "all", "-o", _FORMAT, "-j", ",".join(jobs)]
    try:
        lines = _run(words)
    except SlurmError as error:
        if "Invalid job id" in str(error):  # forgotten by Slurm, so long over
            return {}
        raise
    found = (_job(line) for line in lines)
    return {job.id: job for job in found if job.id in ids}


def partitions() -> list[str]:
    """Return the names of all partitions.

    Raises:
        SlurmError: ``sinfo`` is missing or its controller does not answer.
    """
    return sorted(set(_run(["sinfo", "-h", "-o", "%R"])))


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that are over already are left alone.

    Raises:
        SlurmError: ``scancel`` is missing or its controller does not answer.
    """
    listed = sorted(ids)
    if listed:
        _run(["scancel", *listed])


def requeue(job: str) -> None:
    """Put the job that this process runs in back into the queue; Slurm then ends this run of it.

    Raises:
        SlurmError: ``scontrol`` is missing or refused.
    """
    _run(["scontrol", "requeue", job])


def _job(line: str) -> SlurmJob:
    name, state, node, start, reason = line.split("|", 4)
    unknown = start in ("N/A", "Unknown")
    return SlurmJob(name, state, node, "" if unknown else start, "" if reason == "None" else reason)


def _run(words: Sequence[str]) -> list[str]:
    """Return the lines that a command printed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError as error:
        message = f"{words[0]} is not on this machine: run this where Slurm's commands are"
        raise SlurmError(message) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{words[0]} gave no answer within {_TIMEOUT} s") from error
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise SlurmError(f"{' '.join(words[:2])} failed: {said}")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
