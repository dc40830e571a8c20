"""A job on its way to a process, and what comes back."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cloudpickle
from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.stagetree_launcher._job import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

CHILD = "hydra_plugins.stagetree_launcher._child"
"""Module that runs a job: ``python -m CHILD PAYLOAD RESULT PARENT``."""


@dataclass(frozen=True)
class Batch:
    """The jobs of one launch.

    Attributes:
        context: Hydra's config loader and callbacks.
        task: What every job runs.
        config: The composed configuration of the sweep.
        overrides: Of each job.
        first: Number of the first job.
    """

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    overrides: Sequence[Sequence[str]]
    first: int

    def payload(self, place: int) -> bytes:
        """Return one job, ready to travel."""
        words, number = self.overrides[place], self.first + place
        return pack(self.context, self.task, self.config, words, number)

    @property
    def interchangeable(self) -> bool:
        """Whether the jobs do one work together, however many of them run and whenever."""
        return bool(getattr(self.task, "interchangeable", False))


def returned(result: bytes) -> JobReturn:
    """Return what a process left behind."""
    found = cloudpickle.loads(result)
    assert isinstance(found, JobReturn)  # our own child wrote it
    return found


def lost(reason: str) -> JobReturn:
    """Return the outcome of a job whose process left nothing behind."""
    outcome = JobReturn()
    outcome.return_value = RuntimeError(reason)
    outcome.status = JobStatus.FAILED
    return outcome


def starts_again(place: int, reason: str, restarts: int, most: int) -> str:
    """Say that a worker that was lost is started again."""
    return f"worker {place} {reason}; it is started again ({restarts} of {most})"


def how(code: int) -> str:
    """Say how a process ended that had this exit code."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
