"""Several processes that compute a stage together, started, listened to and ended as one.

Whatever happens, in the trial or in one of them, all of them end: there is nobody to agree with.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle

from stagetree.core.errors import OutOfMemory
from stagetree.core.threads import THREAD_LIMITS
from stagetree.pipeline.rank import DONE, EVALUATED, FAILED, LOGGED, STEPPED, Failure, Job, Seat

_MODULE = "stagetree.pipeline.rank"
_TICK = 1.0
_AFTERMATH = 2.0
_TAIL = 2000


class Traceback(Exception):  # noqa: N818 - not raised, only shown as the cause of an error
    """The traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Processes:
    """Computes a job in several processes.

    Args:
        job: The stage.
        count: How many processes.
        logs: Directory for what they print.
        stepped: Hears of optimiser steps; may raise.
        evaluated: Hears of evaluations; may raise.
        check: Called about once a second; may raise.
    """

    def __init__(
        self,
        job: Job,
        count: int,
        logs: Path,
        stepped: Callable[[int, int, Mapping[str, float]], None],
        evaluated: Callable[[float, Mapping[str, float]], None],
        check: Callable[[], None],
    ) -> None:
        self._job = job
        self._count = count
        self._logs = logs
        self._stepped = stepped
        self._evaluated = evaluated
        self._check = check

    def run(self) -> None:
        """Compute the job; no process is left when this returns or raises.

        A process that runs out of memory lets all begin again with smaller micro-batches.

        Raises:
            RuntimeError: A process was killed.
            Exception: What a process raised first, or what hears of it raised.
        """
        from stagetree.training.ranks import BeginAgain

        last: int | None = None
        while True:
            try:
                self._attempt()
            except BeginAgain as smaller:
                if last is not None and smaller.size >= last:
                    # What fits is kept in the cache; there it cannot be written.
                    raise OutOfMemory(
                        f"{smaller}, but cannot note it in {self._job.cache}"
                    ) from None
                last = smaller.size
                continue
            return

    def _attempt(self) -> None:
        import torch
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        shutil.rmtree(self._logs, ignore_errors=True)
        self._logs.mkdir(parents=True)
        meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        threads = max(1, torch.get_num_threads() // self._count)
        started: list[_Process] = []
        try:
            for place in range(self._count):
                seat = Seat(place, self._count, meeting.port, threads)
                started.append(_Process(seat, self._logs / f"{place}.log"))
            for process in started:
                process.tell(self._job)
            self._listen(started)
        finally:
            for process in started:
                process.end()

    def _listen(self, started: Sequence[_Process]) -> None:
        """Listen to all until all are done."""
        running = {process.pipe: process for process in started}
        while running:
            for pipe in wait(list(running), _TICK):
                process = running[pipe]  # type: ignore[index]
                message = process.hear()
                if message[0] == FAILED:
                    others = [other for other in running.values() if other is not process]
                    raise _first_failure(message[1], others)
                if message[0] == DONE:
                    del running[process.pipe]
                else:
                    self._pass_on(process, message)
            self._check()

    def _pass_on(self, process: _Process, message: tuple[Any, ...]) -> None:
        match message:
            case (kind, step, total, logs) if kind == STEPPED:
                self._stepped(step, total, logs)
            case (kind, fraction, metrics) if kind == EVALUATED:
                self._evaluated(fraction, metrics)
                process.answer()
            case (kind, name, level, text) if kind == LOGGED:
                logging.getLogger(name).log(level, "%s", text)


class _Process:
    """One process, in a session of its own so that only we send it signals."""

    def __init__(self, seat: Seat, log: Path) -> None:
        self.seat = seat
        self._log = log
        self.pipe, theirs = Pipe()
        with log.open("wb") as file, theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno()), str(os.getpid())],
                env=_environment(seat),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def tell(self, job: Job) -> None:
        """Say what to do; should the process be gone, hearing of it will show it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send_bytes(cloudpickle.dumps((self.seat, job)))

    def answer(self) -> None:
        """Say that an evaluation was heard."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(None)

    def hear(self) -> tuple[Any, ...]:
        """Return the next message; a process that ended without one fails by that."""
        try:
            message: tuple[Any, ...] = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            message = (FAILED, Failure(RuntimeError(self._death()), "", consequence=False))
        return message

    def end(self) -> None:
        """Make sure that nothing of it runs any more."""
        if self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel, on a device
            self._popen.wait(_AFTERMATH * 5)
        self.pipe.close()

    def _death(self) -> str:
        try:
            code = self._popen.wait(_AFTERMATH)
        except subprocess.TimeoutExpired:
            return f"{self.seat} stopped talking"
        if code < 0:
            return f"{self.seat} was killed by {signal.Signals(-code).name}"
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        return f"{self.seat} ended with exit code {code}; it printed last:\n{tail}"


def _environment(seat: Seat) -> dict[str, str]:
    """Return this process's environment and what libraries read their place among several from."""
    environment = dict(os.environ)
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # of whoever started us
        environment.pop(name, None)
    if sys.platform == "linux":  # all are on this machine, whatever its name resolves to
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    place, total = str(seat.place), str(seat.total)
    return {
        **environment,
        **dict.fromkeys(THREAD_LIMITS, str(seat.threads)),
        "RANK": place,
        "LOCAL_RANK": place,
        "WORLD_SIZE": total,
        "LOCAL_WORLD_SIZE": total,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _first_failure(failure: Failure, others: Sequence[_Process]) -> BaseException:
    """Return why it all ended: not that a process lost another one, if something else is told."""
    pipes = {process.pipe: process for process in others}
    until = time.monotonic() + _AFTERMATH
    while failure.consequence and pipes and time.monotonic() < until:
        for pipe in wait(list(pipes), until - time.monotonic()):
            message = pipes.pop(pipe).hear()  # type: ignore[call-overload]
            if message[0] == FAILED and not message[1].consequence:
                failure = message[1]
    error = failure.error
    if failure.trace:
        error.__cause__ = Traceback(failure.trace)
    return error
