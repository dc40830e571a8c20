"""One of several processes that compute a stage: ``python -m ...rank PIPE PARENT``.

It is told what to do over the pipe, and tells over it how it goes; it never decides about the
trial. The first of the processes also tells of steps and evaluations, and waits at each
evaluation until it was heard.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle

from stagetree.core.interrupt import end_with_parent
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.shared import Shared
from stagetree.pipeline.store import Store
from stagetree.stages.base import StageContext

STEPPED, EVALUATED, LOGGED, FAILED, DONE = "stepped", "evaluated", "logged", "failed", "done"


@dataclass(frozen=True)
class Job:
    """A stage to compute, as its processes need to know it.

    Attributes:
        pipeline: The pipeline.
        node: The stage.
        inputs: Model directories of what it starts from, by role.
        output: Directory for the result.
        scratch: Directory for partial work.
        cache: Directory for what may be recomputed at any time.
        store: Where shared results lie.
    """

    pipeline: Pipeline
    node: Node
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    cache: Path
    store: Store


@dataclass(frozen=True)
class Seat:
    """One process's place among all.

    Attributes:
        place: Its number, from 0.
        total: How many there are.
        port: Port of the rendezvous, on this machine.
        threads: CPU threads it may use.
    """

    place: int
    total: int
    port: int
    threads: int

    def __str__(self) -> str:
        return f"process {self.place} of {self.total}"


class Failure:
    """Why a process ended; it travels even where the error itself cannot.

    Attributes:
        error: The error.
        trace: Its traceback.
        consequence: Whether it only says that another process is gone or does not answer.
    """

    def __init__(self, error: BaseException, trace: str, consequence: bool) -> None:
        self.error = error
        self.trace = trace
        self.consequence = consequence

    @classmethod
    def of(cls, error: BaseException, seat: Seat | None, patience: float) -> Failure:
        """Return the failure of this process."""
        from stagetree.training import ranks

        trace = f"in {seat}:\n{''.join(traceback.format_exception(error))}"
        if ranks.is_of_another(error):
            text = (
                f"{seat} lost another one, or waited {patience:g} s for it "
                f"(resources.patience): {error}"
            )
            return cls(RuntimeError(text), trace, consequence=True)
        return cls(_portable(error), trace, consequence=False)


def _portable(error: BaseException) -> BaseException:
    """Return an error as it can travel: one that says the same if it cannot itself."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001 - an error of the user's may do anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error.with_traceback(None)


def main() -> None:
    """Compute a stage as one of several processes and end without tidying up."""
    pipe = Connection(int(sys.argv[1]))
    end_with_parent(int(sys.argv[2]))
    if hasattr(signal, "SIGUSR2"):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm warns every process; the parent acts
    code, seat, patience = 1, None, 0.0
    try:
        seat, job = cloudpickle.loads(pipe.recv_bytes())
        patience = job.pipeline.resources.patience
        _listen(pipe, seat)
        _run(seat, job, pipe)
        pipe.send((DONE,))
        code = 0
    except (BrokenPipeError, EOFError):
        pass  # nobody is left to tell
    except BaseException as error:  # noqa: BLE001 - the parent says what it means
        pipe.send_bytes(cloudpickle.dumps((FAILED, Failure.of(error, seat, patience))))
    finally:
        # The others may be in the middle of a collective that nobody will finish.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(seat: Seat, job: Job, pipe: Connection) -> None:
    import torch

    from stagetree.training import ranks

    torch.set_num_threads(seat.threads)
    resources = job.pipeline.resources
    with ranks.joined(
        "127.0.0.1", seat.port, seat.place, seat.total, resources.patience, resources.sharded
    ):
        job.node.stage.run(job.node.config, _context(job, pipe))


def _context(job: Job, pipe: Connection) -> StageContext:
    from stagetree.data.load import load as load_corpus

    def stepped(step: int, total: int, logs: Mapping[str, float]) -> None:
        if leads:
            pipe.send((STEPPED, step, total, dict(logs)))

    def evaluated(fraction: float, metrics: Mapping[str, float]) -> None:
        if leads:
            pipe.send((EVALUATED, fraction, dict(metrics)))
            pipe.recv()  # heard: the evaluation is kept, and the trial goes on

    from stagetree.training import ranks

    leads = ranks.leads()
    task, data = job.pipeline.concern(job.node)
    return StageContext(
        name=job.node.key,
        inputs=job.inputs,
        output=job.output,
        scratch=job.scratch,
        cache=job.cache,
        model=job.pipeline.model,
        task=task,
        corpus=load_corpus(data),
        seed=job.node.seed,
        numerics=job.pipeline.numerics,
        stepped=stepped,
        evaluated=evaluated,
        sharing=Shared(job.store, job.pipeline, job.node, lambda seconds: None),
    )


def _listen(pipe: Connection, seat: Seat) -> None:
    """Pass on to the parent what our own code logs in the process that leads."""

    class Passing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pipe.send((LOGGED, record.name, record.levelno, record.getMessage()))

    if seat.place == 0:
        logger = logging.getLogger("stagetree")
        logger.addHandler(Passing())
        logger.propagate = False


if __name__ == "__main__":
    main()
