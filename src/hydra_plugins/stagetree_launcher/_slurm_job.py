"""What runs on a node: one job of the launcher, in a process that Slurm started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.stagetree_launcher._job import run
from hydra_plugins.stagetree_sweeper._console import complain
from stagetree.core import atomic, slurm
from stagetree.core.interrupt import TERMINATED, Terminated, raise_on_sigterm
from stagetree.core.stopping import expect_repeats, stop_soon

if TYPE_CHECKING:
    from types import FrameType


@dataclass(frozen=True)
class NodeJob:
    """A packed job; submitit carries it to the node and calls it there.

    At ``SIGUSR2``, which comes before the time limit, the work is saved, the job ends as after
    SIGTERM, and is put back into the queue. At SIGTERM alone, which comes with preemption and
    ``scancel``, it only ends: whether it is queued again is Slurm's to say.

    Attributes:
        packed: The job.
        move: Gives the frozen copy of a path.
        results: Directory for the result.
        delay: Seconds from SIGUSR2 to the end.
        limit: How often the job is queued again at its time limit; ``None``: without end.
    """

    packed: bytes
    move: Callable[[str], str]
    results: Path
    delay: int
    limit: int | None

    def __call__(self) -> None:
        """Run the job, leave its result, and exit as it ended."""
        os.environ["STAGETREE_WORKER"] = name = job_name()
        warned = _Warning(self.delay)
        try:
            expect_repeats()  # srun and its daemon both pass a SIGTERM on
            raise_on_sigterm()
            signal.signal(signal.SIGUSR2, warned.heard)
            returned = run(self.packed, self.move)
        except (KeyboardInterrupt, Terminated):
            _forget_signals()
            if warned.at and self._again():
                complain(f"job {name} goes back into the queue and will continue from here")
                slurm.requeue(name)
            else:
                complain(f"job {name} was asked to end; its trial can be continued")
            sys.exit(TERMINATED)
        self._leave(returned)

    def _again(self) -> bool:
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        first = os.environ.get("SLURM_PROCID", "0") == "0"
        return first and (self.limit is None or restarts < self.limit)

    def _leave(self, returned: JobReturn) -> None:
        file = result_file(self.results, job_name())
        atomic.write_bytes(file, cloudpickle.dumps(returned))
        if returned.status != JobStatus.COMPLETED:
            error = returned._return_value
            traceback.print_exception(error)
            sys.exit(1)


class _Warning:
    """The signal that comes some time before the end."""

    def __init__(self, delay: int) -> None:
        self.at = 0
        self._delay = delay
        self._process = os.getpid()

    def heard(self, number: int, frame: FrameType | None) -> None:
        """Have the work saved; a forked child leaves that to its parent."""
        if os.getpid() != self._process or self.at:
            return
        self.at = number
        complain("the end is near: saving work")
        stop_soon(self._delay / 2)


def job_name() -> str:
    """Return the id of the job that this process runs in, as ``squeue`` shows it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", "")


def result_file(folder: Path, job: str) -> Path:
    """Return where the result of a job is left."""
    return folder / f"{job}.result"


def _forget_signals() -> None:
    """Let nothing disturb the last steps: what Slurm sends now is SIGKILL in the end."""
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        with contextlib.suppress(ValueError):
            signal.signal(number, signal.SIG_IGN)
