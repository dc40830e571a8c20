"""Starting, watching and stopping the processes of the ``local`` launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_plugins.stagetree_launcher._batch import (
    CHILD,
    Batch,
    how,
    lost,
    returned,
    starts_again,
)
from hydra_plugins.stagetree_launcher._placement import (
    gpu_sets,
    sharing,
    thread_limits,
    visible_gpus,
)
from hydra_plugins.stagetree_launcher._signals import forwarding, passed_on, raise_for
from hydra_plugins.stagetree_sweeper._console import complain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hydra.core.utils import JobReturn

POLL = 0.05
"""Seconds between two looks at the processes."""


def launch(
    batch: Batch, gpus: int | None, threads: int | None, max_restarts: int
) -> list[JobReturn]:
    """Run every job in a process of its own; see :meth:`LocalLauncher.launch`."""
    total = len(batch.overrides)
    sets = gpu_sets(visible_gpus(os.environ), gpus, "hydra.launcher.gpus_per_worker")
    if shared := sharing(total, sets):
        complain(shared)
    with tempfile.TemporaryDirectory(prefix="stagetree-") as folder:
        crew = _Crew(Path(folder), max_restarts if batch.interchangeable else 0)
        with forwarding(crew.send) as received:
            for place in range(total):
                limits = thread_limits(os.environ, total, threads)
                crew.add(batch.payload(place), _environment(place, total, sets, limits), received)
            crew.wait(received)
        raise_for(received)
        return [crew.outcome(place) for place in range(total)]


def _environment(
    place: int, total: int, sets: list[str], limits: Mapping[str, str]
) -> dict[str, str]:
    """Return a process's environment with its share of cores and GPUs."""
    environment = {**os.environ, **limits}
    if total > 1:
        environment["STAGETREE_SHARED_TERMINAL"] = "1"
    if sets:
        environment["CUDA_VISIBLE_DEVICES"] = sets[place % len(sets)]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return environment


class _Crew:
    """The processes of a launch, each in a session of its own: signals come from us alone."""

    def __init__(self, folder: Path, max_restarts: int) -> None:
        self._folder = folder
        self._max_restarts = max_restarts
        self._environments: list[dict[str, str]] = []
        self._restarts: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def add(self, payload: bytes, environment: dict[str, str], received: list[int]) -> None:
        """Start one more, unless a signal says that none is wanted any more."""
        place = len(self._environments)
        self._environments.append(environment)
        self._restarts.append(0)
        (self._folder / f"{place}.job").write_bytes(payload)
        if not received:
            self._processes.append(self._start(place))
        self._catch_up(received)

    def wait(self, received: list[int]) -> None:
        """Wait for all to end, and start those that were killed again."""
        while True:
            codes = [process.poll() for process in self._processes]
            again = [place for place, code in enumerate(codes) if self._restartable(place, code)]
            if again and not received:
                self._restart(again[0], codes[again[0]] or 0)
                self._catch_up(received)
            elif None in codes:
                time.sleep(POLL)
            else:
                return

    def send(self, number: int) -> None:
        """Send a signal to all that run."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def outcome(self, place: int) -> JobReturn:
        """Return what a process left, or say how it died."""
        try:
            return returned(self._result(place).read_bytes())
        except (FileNotFoundError, EOFError):
            return lost(f"the process {how(self._processes[place].returncode)}")

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        job = self._folder / f"{place}.job"
        return subprocess.Popen(
            [sys.executable, "-m", CHILD, str(job), str(self._result(place)), str(os.getpid())],
            env=self._environments[place],
            start_new_session=True,
        )

    def _restartable(self, place: int, code: int | None) -> bool:
        asked = code in (-signal.SIGTERM, -signal.SIGINT)
        killed = code is not None and code < 0 and not asked
        return killed and self._restarts[place] < self._max_restarts

    def _restart(self, place: int, code: int) -> None:
        self._restarts[place] += 1
        complain(starts_again(place, how(code), self._restarts[place], self._max_restarts))
        self._processes[place] = self._start(place)

    def _catch_up(self, received: list[int]) -> None:
        """Send what arrived while a process was being started."""
        if received:
            self.send(passed_on(received))

    def _result(self, place: int) -> Path:
        return self._folder / f"{place}.result"
